"""Kills every stage at random moments, starts it again, and compares with a run that nothing disturbed.

    python -m benchmarks.chaos --kills 50 --report docs/reports/chaos.json

One trial: a copy of the data before the stage, the stage's command, SIGKILL after a random time (now and then a second
one during the restart), the command once more to its end. Then every file must have the bytes of the undisturbed run,
weights of training included; only clock times differ (in `log.jsonl`, and `progress.png`, which draws them). No
temporary file and no process may be left, and no iteration before the last checkpoint may be done twice.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import platform
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.zygote import Zygote, zygote
from darnet.demo import write_demo_dataset
from darnet.demo.dataset import Protocol
from darnet.io import read_meta, write_json
from darnet.plans import Plans
from darnet.training.run import CHECKPOINT

NAME = "Dataset007_Tiny"
FLAGS = ("-device", "cpu", "--quiet")
# The clock shows in these, a killed run leaves a lock's file, and a former checkpoint may be an earlier one.
NOT_COMPARED = ("log.jsonl", "progress.png", f"{CHECKPOINT}.previous")
SECOND_KILL = 0.25

# Drawing takes longer than such small networks do. They may miss organs: self-training takes place all the same.
TINY = """
import darnet.pipeline, darnet.training.pictures, darnet.training.run
darnet.training.run.PICTURES_A_RUN = 1
darnet.training.run.CHECKPOINTS_A_RUN = 8
darnet.training.pictures.draw_losses = lambda rows, path: None
darnet.pipeline.missing_classes = lambda *arguments: []
"""
# Notes each iteration that is done, so that what a kill cost can be counted.
COUNT_ITERATIONS = """
import os
from darnet.training.segmentation import SegmentationStep
from darnet.training.translation import TranslationStep
note = os.open({path!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def counted(update):
    def run(self, iteration):
        losses = update(self, iteration)
        os.write(note, b"%d\\n" % (iteration + 1))
        return losses
    return run
for step in (SegmentationStep, TranslationStep):
    step.update = counted(step.update)
"""


@dataclass(frozen=True)
class Stage:
    """A command, and the training that it does where it does one."""

    name: str
    command: str
    flags: Callable[[Path], list[object]]
    training: str | None = None

    def of(self, root: Path) -> list[object]:
        """Its flags for a root folder."""
        return [*self.flags(root), "--root", root, *FLAGS]


def train(stage: str, *more: str) -> Callable[[Path], list[object]]:
    """Flags of a stage of darnet_train."""
    return lambda root: ["7", "0", "--stage", stage, *more]


def preprocess(processes: int) -> Callable[[Path], list[object]]:
    """Flags of preprocessing."""
    return lambda root: ["-d", "7", "--keep_plan", "-np", processes]


def predict(root: Path) -> list[object]:
    """Flags of prediction."""
    return ["-i", root / "raw" / NAME / "imagesTs", "-o", root / "out", "-d", "7", "--continue", "--save_probabilities"]


PLAN = ("-d", "7", "--preset", "fast", "--plan_only", "-np", "1")
PLANNING = Stage("planning", "plan_and_preprocess", lambda root: [*PLAN])
STAGES = (
    Stage("preprocessing", "plan_and_preprocess", preprocess(1)),
    Stage("translation", "train", train("translation"), "translation"),
    Stage("synthesis", "train", train("synthesis")),
    Stage("segmentation", "train", train("segmentation", "--continue"), "segmentation/fold_0"),
    Stage("self-training", "train", train("self_training", "--continue"), "self_training/round_1/fold_0"),
    Stage("prediction", "predict", predict),
)
IN_PARALLEL = Stage("preprocessing, 2 processes", "plan_and_preprocess", preprocess(2))


def write_plan(path: Path, iterations: int) -> None:
    """Make a plan so small that each stage takes a second or two, whatever the preset says."""
    plans = Plans.read(path)
    small = dataclasses.replace(
        plans,
        translation=dataclasses.replace(
            plans.translation,
            slice_size=(32, 32),
            width=4,
            iterations=iterations,
            batch_size=2,
            discriminator_width=4,
            discriminator_layers=2,
            discriminator_scales=1,
            content_discriminator_layers=1,
            residual_blocks=1,
            learning_rate_generator=1e-4,  # so little is learnt that no style can collapse
            learning_rate_discriminator=2e-4,
        ),
        synthesis=dataclasses.replace(plans.synthesis, number_of_styles=2),
        segmentation=dataclasses.replace(
            plans.segmentation,
            patch_size=(8, 16, 16),
            channels=(4, 8, 8),
            strides=((1, 2, 2), (2, 2, 2)),
            learning_rate=3e-3,
            iterations=iterations,
        ),
        self_training=dataclasses.replace(plans.self_training, rounds=1, iterations=iterations, learning_rate=1e-3),
    )
    write_json(path, small.to_json())


@dataclass
class Result:
    """What the kills of a stage showed."""

    stage: str
    seconds_undisturbed: float
    trials: int = 0
    kills: int = 0
    first_kill_s: float = 1e9
    last_kill_s: float = 0.0
    iterations_repeated_at_most: int = 0
    iterations_between_checkpoints: int = 0
    losses: list[str] = field(default_factory=list)


class Campaign:
    """States before each stage, the undisturbed result of each, and the kills.

    Args:
        folder: For everything.
        zygote: Runs the commands.
        rng: Draws the moments.
        iterations: Of each training.
    """

    def __init__(self, folder: Path, zygote: Zygote, rng: random.Random, iterations: int = 24) -> None:
        self.folder, self.zygote, self.rng, self.iterations = folder, zygote, rng, iterations
        self.before: dict[str, Path] = {}
        self.reference: dict[str, dict[str, str]] = {}
        self.seconds: dict[str, float] = {}
        self.said = ""

    def prepare(self, stages: Sequence[Stage] = STAGES, scans: tuple[int, int, int] = (3, 2, 3)) -> None:
        """Draw the data, plan, and run each stage undisturbed."""
        root = self.folder / "root"
        source = Protocol("CT", (12, 32, 32), (12.0, 9.0, 9.0), "LPS")
        target = Protocol("MR", (10, 32, 32), (14.0, 9.0, 9.0), "ARI")
        write_demo_dataset(root / "raw" / NAME, 1, *scans, source=source, target=target)
        self._run_undisturbed(PLANNING, root)
        write_plan(root / "preprocessed" / NAME / "plans.json", self.iterations)
        for stage in stages:
            self._run_undisturbed(stage, root)
            done = stage.training is None or (root / "results" / NAME / stage.training / CHECKPOINT).exists()
            assert done, f"the undisturbed {stage.name} left no checkpoint: {self.said}"

    def _run_undisturbed(self, stage: Stage, root: Path) -> None:
        self.before[stage.name] = self.folder / f"before {stage.name}"
        shutil.copytree(root, self.before[stage.name])
        self.seconds[stage.name] = self._must(stage.command, stage.of(root))
        self.reference[stage.name] = hashes(root)

    def same_as(self, stage: Stage, other: Stage) -> None:
        """Let a stage start from, and be compared with, what belongs to another."""
        self.before[stage.name], self.reference[stage.name] = self.before[other.name], self.reference[other.name]
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            root = Path(shutil.copytree(self.before[stage.name], Path(folder) / "root"))
            self.seconds[stage.name] = self._must(stage.command, stage.of(root))

    def kill(self, stage: Stage, kills: int) -> Result:
        """Trials until so many processes of a stage have been killed."""
        result = Result(stage.name, round(self.seconds[stage.name], 2))
        if stage.training:
            result.iterations_between_checkpoints = max(self.iterations // 8, 1)
        while result.kills < kills:
            result.trials += 1
            with tempfile.TemporaryDirectory(dir=self.folder) as folder:
                root = Path(shutil.copytree(self.before[stage.name], Path(folder) / "root"))
                try:
                    self._trial(stage, root, result, kills)
                except (AssertionError, TimeoutError) as error:
                    result.losses.append(f"trial {result.trials}: {error}")
        return result

    def _trial(self, stage: Stage, root: Path, result: Result, kills: int) -> None:
        notes = root.with_name("iterations.txt")
        inject = TINY + (COUNT_ITERATIONS.format(path=str(notes)) if stage.training else "")
        killed = 0
        while True:
            moment = self.rng.uniform(0.0, self.seconds[stage.name])
            running = self.zygote.start(stage.command, stage.of(root), inject)
            time.sleep(moment)
            workers = running.children()
            running.kill()
            outcome = running.wait()
            assert outcome.code in (-9, 0), f"exit code {outcome.code}: {outcome.err[-500:]}"
            if outcome.code == 0:
                if not killed:
                    self.seconds[stage.name] = outcome.seconds  # other work on the machine may have gone
                break
            killed += 1
            result.kills += 1
            result.first_kill_s = min(result.first_kill_s, round(moment, 3))
            result.last_kill_s = max(result.last_kill_s, round(moment, 3))
            assert wait_until(lambda pids=tuple(workers): not any(map(is_running, pids)), 60), "a worker is left"
            if result.kills >= kills or self.rng.random() > SECOND_KILL:
                break
        if stage.training and killed:
            self._count_repeated(stage, root, notes, result)
        if killed:
            outcome = self.zygote.run(stage.command, stage.of(root), inject)
            assert outcome.code == 0, f"the restart ended with {outcome.code}: {outcome.err[-500:]}"
        compare(hashes(root), self.reference[stage.name])

    def _count_repeated(self, stage: Stage, root: Path, notes: Path, result: Result) -> None:
        """How many iterations were done before the kill that the checkpoint does not have."""
        done = [int(line) for line in notes.read_text().split()] if notes.exists() else []
        path = root / "results" / NAME / str(stage.training) / CHECKPOINT
        saved = int(read_meta(path)["iteration"]) if path.exists() else 0
        lost = (done[-1] if done else 0) - saved
        result.iterations_repeated_at_most = max(result.iterations_repeated_at_most, lost)
        assert lost <= result.iterations_between_checkpoints, f"{lost} iterations lost"

    def _must(self, command: str, flags: Sequence[object]) -> float:
        outcome = self.zygote.run(command, flags, TINY)
        assert outcome.code == 0, f"{command} ended with {outcome.code}: {outcome.err}"
        self.said = outcome.err
        return outcome.seconds


def hashes(root: Path) -> dict[str, str]:
    """Hash of every file that a stage writes, and the name of every temporary one."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        skipped = path.name in NOT_COMPARED or path.suffix == ".lock" or name.startswith("raw/")
        if path.is_file() and not skipped:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def compare(found: dict[str, str], expected: dict[str, str]) -> None:
    """Raise an AssertionError that names the files that differ."""
    names = sorted(n for n in set(found) | set(expected) if found.get(n) != expected.get(n))
    assert not names, f"{len(names)} files differ from the undisturbed run: {', '.join(names[:5])}"


def is_running(pid: int) -> bool:
    """Whether a process is there and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether a condition comes true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    lines = [
        "| stage | kills | trials | killed after (s) | undisturbed (s) | iterations repeated | losses |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in report["stages"]:
        every = row["iterations_between_checkpoints"]
        repeated = (
            f"at most {row['iterations_repeated_at_most']} (checkpoint every {every})" if every else "none to repeat"
        )
        span = f"{row['first_kill_s']:.2f} to {row['last_kill_s']:.2f}"
        cells = [row["stage"], row["kills"], row["trials"], span, row["seconds_undisturbed"], repeated]
        lines.append("| " + " | ".join(map(str, [*cells, len(row["losses"])])) + " |")
    lines.append(f"| all | {report['kills']} | {report['trials']} | | | | {report['losses']} |")
    return "\n".join(lines)


def main() -> int:
    """The campaign."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="of each stage")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--report", type=Path, default=Path("chaos.json"), help="the report; a table goes beside it")
    args = parser.parse_args()
    start = time.monotonic()
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder, zygote(Path(folder)) as server:
        campaign = Campaign(Path(folder), server, random.Random(args.seed))
        campaign.prepare()
        campaign.same_as(IN_PARALLEL, STAGES[0])
        for stage in (PLANNING, *STAGES, IN_PARALLEL):
            results.append(campaign.kill(stage, args.kills if stage is not IN_PARALLEL else max(args.kills // 5, 1)))
            print(json.dumps(dataclasses.asdict(results[-1])), flush=True)
    report = {
        "command": f"python -m benchmarks.chaos --kills {args.kills} --seed {args.seed}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "minutes": round((time.monotonic() - start) / 60, 1),
        "kills": sum(r.kills for r in results),
        "trials": sum(r.trials for r in results),
        "losses": sum(len(r.losses) for r in results),
        "stages": [dataclasses.asdict(r) for r in results],
    }
    args.report.parent.mkdir(parents=True, exist_ok=True)
    write_json(args.report, report)
    args.report.with_suffix(".md").write_text(f"{table(report)}\n", encoding="utf-8")
    print(table(report), flush=True)
    return 1 if report["losses"] else 0


if __name__ == "__main__":
    sys.exit(main())
