from __future__ import annotations

import importlib.util
import re

import pytest

from darnet.cli import convert, train


@pytest.fixture(scope="module")
def hook(repository):
    def load(name):
        spec = importlib.util.spec_from_file_location(name, repository / "docs" / "_hooks" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def test_every_command_and_flag_is_on_the_page(hook, repository, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = hook("commands").page()
    commands = re.findall(r'"(darnet_\w+)": "\w+"', (repository / "setup.py").read_text("utf-8"))
    assert len(commands) >= 6
    for command in commands:
        assert f"\n## {command}\n" in text
    for layout in ("nnunet", "chaos", "btcv", "crossmoda", "mmwhs"):
        assert f"\n### darnet_convert {layout}\n" in text
    below = text.split("\n## darnet_train\n")[1].split("\n## ")[0]
    for action in train.build_parser()._actions:
        for name in action.option_strings:
            assert f"`{name}`" in below
    assert "| `fold` | 0 to 4, or all to train on every source case |" in below
    assert "one of `all`, `translation`, `synthesis`, `segmentation`, `self_training`; default `all` |" in below
    assert "; required |" in text.split("### darnet_convert btcv")[1]
    assert convert.build_parser().prog in text


def test_no_cell_of_a_table_is_torn(hook):
    for text in (hook("commands").page(), hook("plans").table()):
        for line in text.splitlines():
            if line.startswith("|"):
                cells = len(re.findall(r"(?<!\\)\|", line))
                assert cells in (3, 4), line


def test_the_table_of_keys_is_that_of_the_classes(hook, repository):
    page = (repository / "docs" / "reference" / "plans.md").read_text("utf-8")
    assert hook("plans").with_table(page) == page, "run python docs/_hooks/plans.py"


def test_every_key_of_a_plan_is_in_the_table(hook, make_small_plans):
    def dotted(values, above=""):
        for key, value in values.items():
            if isinstance(value, dict) and key not in ("why", "labels"):
                yield from dotted(value, f"{above}{key}.")
            elif key != "why":
                yield above + key

    table = hook("plans").table()
    for key in dotted(make_small_plans().to_json()):
        assert f"| `{key}` |" in table


def test_every_page_is_in_the_navigation(repository):
    text = (repository / "mkdocs.yml").read_text("utf-8")
    pages = {
        str(p.relative_to(repository / "docs")) for p in repository.glob("docs/**/*.md") if p.parent.name != "reports"
    } | {"reference/commands.md"}
    assert {line.strip(" -") for line in text.split("nav:")[1].splitlines() if line.endswith(".md")} == pages


def test_equations_become_mathml(hook):
    text = hook("equations").convert("With $x^2$ and\n\n$$\n\\frac{a}{b}\n$$\n")
    assert "$" not in text
    assert text.count("<math") == 2
    assert "<msup>" in text
    assert "<mfrac>" in text
