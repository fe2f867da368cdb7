"""Trainings to compare with: without adaptation, without translation, and supervised on the target.

Each has as many iterations as segmentation and self-training together.
"""

from __future__ import annotations

import dataclasses
import warnings
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from darnet.errors import ConfigurationError
from darnet.io import CaseStore, is_held, only_one, require_writable
from darnet.layout import DatasetLayout, DerivedLayout, fold_lock
from darnet.pipeline import preprocess, require_room_for
from darnet.planning import CaseFiles, VerifiedDataset, verify_dataset
from darnet.plans import Plans
from darnet.training import (
    REPLACED,
    RunOptions,
    check_preprocessed,
    publish_plans,
    read_fold,
    refuse_unfinished,
    train_segmentation,
    write_folds,
)

NO_ADAPTATION = "no_adaptation"
NO_TRANSLATION = "no_translation"
SUPERVISED = "supervised"


def train_without_adaptation(layout: DatasetLayout, plans: Plans, fold: str | int, options: RunOptions) -> Path:
    """The lower baseline: the same DAR-UNet and budget on the source volumes as they are. Returns its results.

    Made-up contrasts are part of adaptation, so this baseline has the paper's augmentations alone. So is another
    contrast of source scans: where it is planned, they are preprocessed once more as they are.
    """
    plain, results = without_adaptation(plans), layout.results / NO_ADAPTATION
    if not plans.preprocessing.source_inverted:
        return train_as_they_are(layout, plain, fold, options, results)
    require_room_for(layout, "preprocessed")
    _require_room_and_fold(layout, fold, results)
    replaced = check_preprocessed(layout, plans, ("source",)).get(REPLACED, False)
    own, work = _SourceAsItIs(layout.root, layout.name, layout), "preprocesses source scans for this baseline"
    with ExitStack() as held:
        # Folds that are started side by side wait for the one that preprocesses.
        with only_one(own.preprocessed / ".folds.lock", work, wait=True, notice=options.notice):
            if not (_is_learned_from(own) and _is_preprocessed(own, plain)):
                dataset = dataclasses.replace(verify_dataset(layout, replaced), target=())
                preprocess(own, dataset, plain, 1, options.quiet, options.notice)
            check_preprocessed(own, plain, ("source",))
            held.enter_context(_alone(results, fold, options))
        return _train(own, plain, fold, options, results)


class _SourceAsItIs(DerivedLayout):
    """Source scans as they are, of a data set with another contrast of them planned."""

    @property
    def preprocessed(self) -> Path:
        return self.base.preprocessed / "preprocessed" / NO_ADAPTATION

    @property
    def results(self) -> Path:
        return self.base.results / NO_ADAPTATION


def _is_learned_from(layout: DatasetLayout) -> bool:
    """Whether a fold is being trained: what it learns from may not be made again, even where that changes nothing."""
    return any(is_held(path) for path in layout.results.glob(fold_lock(layout.results, "*").name))


def _is_preprocessed(layout: DatasetLayout, plans: Plans) -> bool:
    try:
        check_preprocessed(layout, plans, ("source",))
    except ConfigurationError:
        return False
    return True


def train_without_translation(layout: DatasetLayout, plans: Plans, fold: str | int, options: RunOptions) -> Path:
    """Made-up contrasts without a translator: the planned augmentations and contrast of the source volumes."""
    return train_as_they_are(layout, in_one_run(plans), fold, options, layout.results / NO_TRANSLATION)


def with_rounds(plans: Plans, rounds: int) -> Plans:
    """The plan with another number of rounds of self-training, and as many iterations in all."""
    before, former = plans.segmentation.iterations, plans.self_training
    total = before + former.rounds * former.iterations
    if rounds == former.rounds:
        return plans
    share = former.iterations / before
    length = max(round(total * share / (1 + rounds * share)), 1) if rounds else former.iterations
    return dataclasses.replace(
        plans,
        segmentation=dataclasses.replace(plans.segmentation, iterations=max(total - rounds * length, 1)),
        self_training=dataclasses.replace(former, rounds=rounds, iterations=length),
    )


def with_share(plans: Plans, networks: int) -> Plans:
    """The plan of each of several networks that share the iterations of the segmentation."""
    iterations = max(round(plans.segmentation.iterations / networks), 1)
    return dataclasses.replace(plans, segmentation=dataclasses.replace(plans.segmentation, iterations=iterations))


def in_one_run(plans: Plans) -> Plans:
    """The plan with the iterations of self-training added to the segmentation's, so that a baseline has as many."""
    longer = with_rounds(plans, 0)
    own = dataclasses.replace(longer.segmentation, source_share=0.0, expected_appearance=None)
    return dataclasses.replace(longer, segmentation=own)


def without_adaptation(plans: Plans) -> Plans:
    """The plan in one run with the paper's augmentations alone, and source scans as they are."""
    longer = in_one_run(plans)
    plain = dataclasses.replace(
        longer.segmentation,
        appearance=0.0,
        random_convolution=0.0,
        class_gain=0.0,
        random_tissues=None,
    )
    grid = dataclasses.replace(longer.preprocessing, source_inverted=None)
    return dataclasses.replace(longer, segmentation=plain, preprocessing=grid)


def train_supervised(
    layout: DatasetLayout, labelled: VerifiedDataset, plans: Plans, options: RunOptions, processes: int = 1
) -> Path:
    """The upper baseline: the same DAR-UNet and budget on labelled target scans. Returns its results.

    Args:
        layout: The data set that is adapted.
        labelled: Target scans with labels, as if they were source scans.
        plans: The plan of the data set that is adapted.
        options: Device, resume, quiet.
        processes: Cases preprocessed at once.
    """
    own, as_source = prepare_supervised(layout.preprocessed, labelled, plans, processes, options.quiet)
    return train_as_they_are(own, as_source, "all", options, layout.results / SUPERVISED)


def prepare_supervised(
    root: Path, labelled: VerifiedDataset, plans: Plans, processes: int = 1, quiet: bool = True
) -> tuple[DatasetLayout, Plans]:
    """Preprocess labelled target scans as if they were source scans, and deal them into folds.

    Args:
        root: Folder below which they are kept.
        labelled: Target scans with labels, as if they were source scans.
        plans: The plan of the data set that is adapted.
        processes: Cases preprocessed at once.
        quiet: No progress bar.

    Returns:
        Where they lie, and the plan to train on them with.
    """
    own = DatasetLayout(root, SUPERVISED)
    # Nothing is cut off: target scans are segmented whole.
    plain = without_adaptation(plans)
    grid = dataclasses.replace(plain.preprocessing, source_depth=None, source_height=None, source_width=None)
    as_source = dataclasses.replace(plain, source=plans.target, preprocessing=grid)
    own.preprocessed.mkdir(parents=True, exist_ok=True)
    preprocess(own, labelled, as_source, processes, quiet)
    names = [case.case_id for case in labelled.source]
    write_folds(own.splits, names, as_source.segmentation.folds, as_source.seed, warnings.warn, former=None)
    return own, as_source


def as_labelled(info_of: VerifiedDataset, images: dict[str, Path], labels: dict[str, Path]) -> VerifiedDataset:
    """Labelled scans of any kind as the source of a data set with the same classes and no target."""
    replaced = any(files.replace_non_finite for files in info_of.cases)
    cases = tuple(CaseFiles(case, "source", images[case], labels[case], replaced) for case in sorted(images))
    return VerifiedDataset(info_of.info, cases, (), ())


def train_as_they_are(layout: DatasetLayout, plans: Plans, fold: str | int, options: RunOptions, results: Path) -> Path:
    """Train the DAR-UNet on the source volumes of a data set as they are. Returns its results.

    Args:
        layout: The data set.
        plans: Its plan, to the letter.
        fold: 0 to 4, or "all".
        options: Device, resume, quiet.
        results: Gets the plan and the weights.
    """
    _require_room_and_fold(layout, fold, results)
    check_preprocessed(layout, plans, ("source",))
    with _alone(results, fold, options):
        return _train(layout, plans, fold, options, results)


def _require_room_and_fold(layout: DatasetLayout, fold: str | int, results: Path) -> None:
    """Refuse, before anything is written or computed, a fold that is not there and results that cannot be written."""
    read_fold(layout.splits, fold)
    require_writable(results, "name another root with --root or DARNET_ROOT, or mend the permissions")


def _alone(results: Path, fold: str | int, options: RunOptions) -> AbstractContextManager[None]:
    """The lock of a fold of a baseline."""
    return only_one(fold_lock(results, fold), f"trains fold {fold}", notice=options.notice)


def _train(layout: DatasetLayout, plans: Plans, fold: str | int, options: RunOptions, results: Path) -> Path:
    """As `train_as_they_are`, for a fold whose lock is held."""
    refuse_unfinished(layout, plans)  # from here on nothing preprocesses
    publish_plans(plans, results)
    source, split = CaseStore(layout.cases("source")), read_fold(layout.splits, fold)
    variants = {case: (case,) for case in source.case_ids()}
    folder = results / "segmentation" / f"fold_{fold}"
    train_segmentation(plans, source, source, variants, split, str(fold), folder, options)
    return results
