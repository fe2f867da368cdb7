"""The packages import in one direction only, and what prints help stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import darnet

PACKAGE = Path(darnet.__file__).parent
# A package may import those above it; those in one line stand side by side and may import each other.
ORDER = (
    ("errors", "spread", "strict_json", "allocator"),
    ("plans", "layout", "progress", "words", "fork_server"),
    ("workers",),
    ("imaging",),
    ("io",),
    ("convert",),
    ("networks",),
    ("losses",),
    ("evaluation",),
    ("planning",),
    ("preprocessing",),
    ("augmentation",),
    ("training",),
    ("synthesis",),
    ("health",),
    ("inference",),
    ("self_training", "selection", "sharing"),
    ("pipeline",),
    ("baselines",),
    ("report", "experiment"),
    ("demo",),
    ("cli",),
)
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}
LIGHT = ("__init__.py", "errors.py", "plans", "layout.py", "spread.py", "strict_json.py", "words.py", "cli")
HEAVY = (
    "torch",
    "numpy",
    "scipy",
    "nibabel",
    "SimpleITK",
    "sklearn",
    "matplotlib",
    "blosc2",
    "tqdm",
    "safetensors",
    "jinja2",
    "highdicom",
    "pydicom",
)
COMMANDS = sorted(p.stem for p in (PACKAGE / "cli").glob("*.py") if p.stem not in ("__init__", "common"))


def source_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def layer(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(nodes: Iterator[ast.AST]) -> Iterator[tuple[str, int]]:
    """Full names of imported modules (and of the names taken from them) with their lines."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import in line {node.lineno}"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Statements that run when a module is imported: not in a function, not for type checkers only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from run_at_import(child)


def wrong_way_imports(path: Path, tree: ast.Module) -> Iterator[str]:
    own = layer(path)
    for name, line in imported(ast.walk(tree)):
        parts = name.split(".")
        if parts[0] == "darnet" and parts[1] in RANK and RANK[parts[1]] > RANK.get(own, -1):
            yield f"{path.relative_to(PACKAGE)}:{line} imports {name}"


def test_imports_go_one_way():
    wrong = [w for path in source_files() for w in wrong_way_imports(path, ast.parse(path.read_text("utf-8")))]
    assert not wrong, "\n".join(wrong)


def test_a_wrong_way_import_is_seen():
    tree = ast.parse("def f():\n    from darnet.training import run_training")
    assert list(wrong_way_imports(PACKAGE / "imaging" / "crop.py", tree)) == [
        "imaging/crop.py:2 imports darnet.training.run_training"
    ]


def test_every_package_has_its_place():
    layers = {layer(path) for path in source_files()} - {"__init__"}
    assert layers <= set(RANK), f"put {layers - set(RANK)} into ORDER"


def test_light_modules_import_nothing_heavy():
    light = {"darnet." + name for name in ("errors", "plans", "layout", "spread", "strict_json", "words", "cli")}
    heavy_packages = {"darnet." + name for name in RANK} - light
    wrong = []
    for path in source_files():
        if path.relative_to(PACKAGE).parts[0] not in LIGHT:
            continue
        for name, line in imported(run_at_import(ast.parse(path.read_text("utf-8")))):
            parts = name.split(".")
            if parts[0] in HEAVY or ".".join(parts[:2]) in heavy_packages:
                wrong.append(f"{path.relative_to(PACKAGE)}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_bars_are_shown_in_one_place():
    users = [str(p.relative_to(PACKAGE)) for p in source_files() if "tqdm" in p.read_text("utf-8")]
    assert users == ["progress.py"]


def test_nothing_loads_pickles():
    wrong = []
    for path in source_files():
        tree = ast.parse(path.read_text("utf-8"))
        names = [name for name, _ in imported(ast.walk(tree))]
        calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
        allows = [k for node in ast.walk(tree) if isinstance(node, ast.keyword) and (k := node.arg) == "allow_pickle"]
        if {"pickle", "dill", "joblib"} & set(names) or "torch.load" in calls or allows:
            wrong.append(str(path.relative_to(PACKAGE)))
    assert not wrong


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_light(command):
    program = (
        "import sys\n"
        f"from darnet.cli.{command} import main\n"
        "code = main(['-h'])\n"
        f"print('HEAVY', sorted(set({HEAVY!r}) & set(sys.modules)))\n"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "usage: darnet_" in done.stdout
    assert "exit codes" in done.stdout
    assert done.stdout.rstrip().endswith("HEAVY []"), done.stdout.splitlines()[-1]
