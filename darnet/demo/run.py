"""The whole way on the phantoms, between its two baselines: no adaptation below, supervised training above."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from darnet import baselines, pipeline
from darnet.demo.beside import beside
from darnet.demo.dataset import SUPERVISED, write_demo_dataset
from darnet.errors import ConfigurationError
from darnet.evaluation import Summary, evaluate_folders
from darnet.inference import FolderOptions, Predictor, predict_folder
from darnet.io import list_cases, list_labels, require_writable, write_json
from darnet.layout import DatasetLayout
from darnet.planning import Preset, VerifiedDataset, find_preset
from darnet.plans import Plans
from darnet.training import CHECKPOINT, RunOptions

DATASET = "Dataset900_Phantoms"
FOLD = "all"
NO_ADAPTATION, DARNET, SUPERVISED_ROW = "no adaptation", "darnet", "supervised"
BASELINES = (NO_ADAPTATION, SUPERVISED_ROW)

# Smaller than the preset "fast": the phantoms are coarse and the demo should end within a coffee break. The order of
# their intensities is turned round, so made-up contrasts count for more, and the round, which shows the target's own
# contrast, is longer than the training before it.
DEMO_PRESET = dataclasses.replace(
    find_preset("fast"),
    plane_pixels=64,
    patch_plane=48,
    patch_voxels=40_000,
    translation_pixels=6.2e6,
    segmentation_voxels=2.05e7,
    appearance=0.3,
    random_convolution=0.6,
    rounds=1,
    round_length=1.6,
)


@dataclass(frozen=True)
class DemoResult:
    """What the demo found.

    Attributes:
        rows: Summary of each row: "no adaptation", "darnet", "supervised".
        seconds: Time of each step.
        pictures: What to look at, and where it lies.
    """

    rows: dict[str, Summary]
    seconds: dict[str, float]
    pictures: dict[str, Path]

    @property
    def gap(self) -> float:
        """Mean Dice of supervised training minus that of no adaptation."""
        return self.rows["supervised"].mean.dice_mean - self.rows["no adaptation"].mean.dice_mean

    @property
    def closed(self) -> float:
        """Share of the gap that darnet closes; nan where there is none."""
        if self.gap <= 0:
            return math.nan
        return (self.rows["darnet"].mean.dice_mean - self.rows["no adaptation"].mean.dice_mean) / self.gap


def run_demo(
    root: Path,
    options: RunOptions,
    seed: int = 0,
    preset: Preset = DEMO_PRESET,
    cases: tuple[int, int, int] = (10, 10, 4),
    processes: int = 2,
    notice: Callable[[str], None] = print,
) -> DemoResult:
    """Write the phantoms, adapt, train both baselines, segment the test scans and compare.

    A demo that was interrupted goes on where it was.

    Args:
        root: Root folder of the demo's own data.
        options: Device and quiet.
        seed: Of the phantoms and of training.
        preset: How much to compute.
        cases: Number of source, target and test scans.
        processes: Cases preprocessed at once; with two or more, the baselines train beside darnet on a CPU.
        notice: Gets a sentence at each step.

    Raises:
        DarnetError: A step failed.
    """
    require_writable(root, "give another folder with -o")
    layout = DatasetLayout(root, DATASET)
    seconds: dict[str, float] = {}

    def timed(step: str, work: Callable[[], object]) -> None:
        notice(f"demo: {step}")
        start = time.monotonic()
        work()
        seconds[step] = round(time.monotonic() - start, 1)

    if layout.plans.exists() and (former := Plans.read(layout.plans).seed) != seed:
        raise ConfigurationError(
            "the folder holds a demo with another seed",
            where=root,
            found=former,
            expected=seed,
            remedy="choose another folder with -o",
        )
    if not layout.dataset_json.exists():
        timed("drawing phantoms", lambda: write_demo_dataset(layout.raw, seed, *cases))
    dataset, fingerprint = pipeline.verify(layout, processes, options.quiet)
    plans = pipeline.plan(layout, dataset, fingerprint, preset, seed, processes=processes, quiet=options.quiet)
    timed("preprocessing", lambda: pipeline.preprocess(layout, dataset, plans, processes, options.quiet))
    labelled = baselines.as_labelled(
        dataset, list_cases(layout.raw / SUPERVISED / "imagesTr"), list_labels(layout.raw / SUPERVISED / "labelsTr")
    )
    row = partial(_train_row, layout=layout, plans=plans, labelled=labelled)
    # Two trainings of one thread each are done sooner than one after the other with two: the layers are small.
    if processes > 1 and options.device.type == "cpu":
        quiet = dataclasses.replace(options, quiet=True)
        with beside(_train_rows, BASELINES, row, quiet), _threads(max(torch.get_num_threads() - 1, 1)):
            timed("training, darnet; both baselines beside it", lambda: row(DARNET, options=options))
            notice("demo: waiting for the baselines")
    else:
        timed("training, darnet", lambda: row(DARNET, options=options))
        timed("training, both baselines", lambda: _train_rows(BASELINES, row, options))
    rows = {}
    for name in (NO_ADAPTATION, DARNET, SUPERVISED_ROW):
        notice(f"demo: segmenting the test scans, {name}")
        rows[name] = _predict_and_evaluate(layout, _results(layout, name), plans, options)
    result = DemoResult(rows, seconds, _pictures(layout))
    write_json(layout.results / "demo.json", _to_json(result))
    return result


def _results(layout: DatasetLayout, row: str) -> Path:
    folders = {NO_ADAPTATION: baselines.NO_ADAPTATION, DARNET: ".", SUPERVISED_ROW: baselines.SUPERVISED}
    return layout.results / folders[row]


def _train_rows(names: Sequence[str], train_row: Callable[..., None], options: RunOptions) -> None:
    for name in names:
        train_row(name, options=options)


def _train_row(
    name: str, *, layout: DatasetLayout, plans: Plans, labelled: VerifiedDataset, options: RunOptions
) -> None:
    """Train one row; an interrupted training goes on."""
    checkpoint = _results(layout, name) / "segmentation" / f"fold_{FOLD}" / CHECKPOINT
    options = dataclasses.replace(options, resume=checkpoint.exists())
    if name == DARNET:
        pipeline.train(layout, plans, FOLD, options, notice=options.notice)
    elif name == NO_ADAPTATION:
        baselines.train_without_adaptation(layout, plans, FOLD, options)
    else:
        baselines.train_supervised(layout, labelled, plans, options)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """So many threads of torch within the body."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _pictures(layout: DatasetLayout) -> dict[str, Path]:
    return {
        "translations while training": layout.translation / "previews",
        "one slice in all styles": layout.synthetic / "styles.png",
        "the style space": layout.synthetic / "style_space.png",
        "masks over the test scans": layout.results / "predictions",
        "training curves": layout.segmentation(FOLD) / "progress.png",
    }


def _predict_and_evaluate(layout: DatasetLayout, folder: Path, plans: Plans, options: RunOptions) -> Summary:
    predictor = Predictor.from_results(folder, folds=(FOLD,), device=options.device, notice=options.notice)
    output = folder / "predictions"
    show = FolderOptions(preview=True, quiet=options.quiet)
    predict_folder(layout.raw / "imagesTs", output, predictor, show, notice=lambda _: None)
    return evaluate_folders(output, layout.raw / "labelsTs", plans.foreground)


def _to_json(result: DemoResult) -> dict[str, object]:
    return {
        "rows": {name: summary.to_json() for name, summary in result.rows.items()},
        "gap": result.gap,
        "closed": result.closed if result.gap > 0 else None,
        "seconds": result.seconds,
    }


def format_demo(result: DemoResult) -> str:
    """One table of Dice and surface distance for each organ and row, the gap, and where the pictures lie."""
    names = list(result.rows)
    organs = [*result.rows[names[0]].classes, "mean"]
    lines = [f"{'':14}" + "".join(f"{name:>24}" for name in names)]
    lines.append(f"{'':14}" + "".join(f"{'Dice':>12}{'ASD mm':>12}" for _ in names))
    for organ in organs:
        cells = ""
        for summary in result.rows.values():
            scores = summary.mean if organ == "mean" else summary.classes[organ]
            cells += f"{scores.dice_mean:12.3f}{scores.asd_mm_mean:12.2f}"
        lines.append(f"{organ:14}{cells}")
    lines.append("")
    share = "there is none to close" if math.isnan(result.closed) else f"darnet closes {result.closed:.0%} of it"
    lines.append(f"Dice gap between no adaptation and supervised: {result.gap:.3f}; {share}")
    lines.append("ASD inf: an organ was missed altogether in some case")
    lines += ["", "Pictures:"] + [f"  {what:28} {path}" for what, path in result.pictures.items()]
    return "\n".join(lines)
