"""Weights that are there when a training begins: of which plan, data and teacher they may be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from darnet.errors import ConfigurationError, DataError
from darnet.io import CaseStore, is_held, read_meta, write_json
from darnet.layout import DatasetLayout, volumes_lock
from darnet.plans import Plans
from darnet.training.run import CHECKPOINT, data_of
from darnet.training.stages import stage_hash

# Where a results folder holds weights.
WEIGHTS = ("translation", "segmentation/fold_*", "self_training/round_*/fold_*")


def publish_plans(plans: Plans, folder: Path) -> None:
    """Put the plan beside the weights, so that the results folder alone is enough to predict.

    Raises:
        ConfigurationError: There are weights of another plan: with the new plan beside them they could not be used.
    """
    found = [path for pattern in WEIGHTS for path in sorted(folder.glob(f"{pattern}/{CHECKPOINT}"))]
    for path in found:
        meta = read_meta(path)
        if meta.get("plan") != stage_hash(plans, meta.get("stage", "segmentation")):
            raise ConfigurationError(
                "the checkpoint is of another plan",
                where=path,
                remedy="put back the plan that lies beside it, or move its folder out of the results to start afresh",
            )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "plans.json", plans.to_json())


def require_checkpoints(layout: DatasetLayout, plans: Plans, fold: str | int) -> None:
    """Refuse to go on from nothing, or with a fold whose translator is gone: another one would take its place.

    Args:
        layout: Where the data set lies.
        plans: Its plan.
        fold: 0 to 4, or "all".

    Raises:
        ConfigurationError: So it is.
    """
    translator, own = layout.translation / CHECKPOINT, layout.segmentation(fold) / CHECKPOINT
    if not translator.exists() and not own.exists():
        raise ConfigurationError(
            "there is no checkpoint to go on from", where=layout.results, remedy="leave out --continue"
        )
    if plans.translates and not translator.exists():
        raise ConfigurationError(
            f"fold {fold} has a network, but the translator whose volumes it learned from is gone",
            where=own,
            expected=translator,
            remedy="put that folder back, or move the fold's folders in segmentation and self_training away too and "
            "leave out --continue to start afresh",
        )


def refuse_trained(layout: DatasetLayout, fold: str | int, resume: bool) -> None:
    """Notice weights of this fold before hours of training; those of self-training would outlive their teacher.

    Args:
        layout: Where the data set lies.
        fold: 0 to 4, or "all".
        resume: Whether the training goes on with what is there.

    Raises:
        ConfigurationError: There are weights that the training would not go on with.
    """
    own = layout.segmentation(fold) / CHECKPOINT
    if resume and own.exists():
        return
    rounds = sorted(layout.results.glob(f"self_training/round_*/fold_{fold}/{CHECKPOINT}"))
    if resume and rounds:
        raise ConfigurationError(
            f"there are rounds of self-training, but fold {fold} has no network that they began from",
            where=rounds[0],
            expected=own,
            remedy="put that network back, or move the folders of these rounds away too to start afresh",
        )
    for path in () if resume else (own, *rounds):
        if path.exists():
            raise ConfigurationError(
                "there is a checkpoint already",
                where=path,
                remedy="use --continue to go on from it, or move the folder away to start afresh",
            )


def refuse_while_read(layout: DatasetLayout) -> None:
    """Refuse to replace translated volumes that another fold learns from.

    Raises:
        ConfigurationError: One does.
    """
    readers = sorted(path for path in layout.results.glob(volumes_lock(layout.results, "*").name) if is_held(path))
    if readers:
        raise ConfigurationError(
            "another fold learns from translated volumes, and these would be of another translator, plan, seed or data",
            where=layout.synthetic,
            found=", ".join(path.name for path in readers),
            remedy="wait for it to end, or give its plan and --seed",
        )


def tell_changed_cases(path: Path, stores: Mapping[str, CaseStore], notice: Callable[[str], None]) -> None:
    """Say which cases are not those any more that finished weights have learned from.

    Args:
        path: The checkpoint.
        stores: Case stores by the names of their folders; cases of others are not looked at.
        notice: Gets the sentence.
    """
    before: Mapping[str, str] = read_meta(path).get("data", {}) if path.exists() else {}
    changed = []
    for name, content_hash in before.items():
        folder, _, case = name.partition("/")
        try:
            now = data_of((stores[folder], [case])) if folder in stores else before
        except DataError:
            now = {}
        if now.get(name) != content_hash:
            changed.append(name)
    if changed:
        notice(
            f"{path} was trained before these cases changed: {', '.join(sorted(changed))}; move it away to train again"
        )
