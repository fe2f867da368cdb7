"""The stages in their order, as the commands run them: plan, preprocess, train."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial

from darnet.allocator import freed_memory_kept
from darnet.errors import ConfigurationError, raise_together
from darnet.health import tell_health
from darnet.inference import Predictor, load_network
from darnet.io import CaseStore, only_one, require_writable, sha256_of, write_json
from darnet.layout import DOMAINS, DatasetLayout, fold_lock, translation_lock, volumes_lock
from darnet.planning import (
    MEMORY_TARGET_GB,
    Fingerprint,
    Preset,
    VerifiedDataset,
    as_verified,
    keep_edited,
    make_plans,
    planned_seeds,
    survey_cases,
    survey_dataset,
    trained_test_scans,
)
from darnet.plans import Plans
from darnet.preprocessing import preprocess_dataset
from darnet.selection import choose_round, choose_source_contrast
from darnet.self_training import label_targets, missing_classes, train_student
from darnet.synthesis import synthesis_hash, synthesize
from darnet.training import (
    CHECKPOINT,
    REPLACED,
    RunOptions,
    check_preprocessed,
    fold_notes,
    load_translator,
    no_run_beside,
    plan_hash,
    publish_plans,
    read_fold,
    refuse_trained,
    refuse_unfinished,
    refuse_while_read,
    require_checkpoints,
    require_teacher,
    stage_iterations,
    tell_changed_cases,
    train_segmentation,
    train_translation,
    write_folds,
)

Notice = Callable[[str], None]

STAGES = ("all", "translation", "synthesis", "segmentation", "self_training")


def verify(
    layout: DatasetLayout, processes: int = 1, quiet: bool = True, replace_non_finite: bool = False
) -> tuple[VerifiedDataset, Fingerprint]:
    """Check a raw data set to its last voxel. Nothing is written.

    Raises:
        DataError: Everything that is wrong with names, pairs and voxels, at once; `faults` has each on its own.
    """
    survey = survey_dataset(layout, replace_non_finite)
    if survey.info is None:  # said before hours of reading scans
        raise_together(survey.faults, f"the data set {layout.name} cannot be used")
    assert survey.info is not None
    fingerprint, faults = survey_cases(survey.cases, survey.info.labels, processes, quiet)
    raise_together([*survey.faults, *faults], f"the data set {layout.name} cannot be used")
    dataset = as_verified(survey, layout)
    training = {case.voxel_hash: f"{case.case_id} ({case.domain})" for case in fingerprint.cases}
    notes = (*dataset.notes, *trained_test_scans(dataset.test, training))
    return dataclasses.replace(dataset, notes=notes), fingerprint


def plan(
    layout: DatasetLayout,
    dataset: VerifiedDataset,
    fingerprint: Fingerprint,
    preset: Preset,
    seed: int = 0,
    memory_gb: float = MEMORY_TARGET_GB,
    processes: int = 1,
    quiet: bool = True,
    notice: Notice = warnings.warn,
) -> Plans:
    """Plan a data set; writes fingerprint.json, plans.json, the same as planned.json, and splits.json."""
    plans = make_plans(fingerprint, dataset.info, layout.name, preset, seed, memory_gb)
    if preset.source_contrast:
        plans = choose_source_contrast(plans, dataset, fingerprint, preset, processes, quiet)
    with no_run_beside(layout):
        write_json(layout.fingerprint, fingerprint.to_json())
        _write_splits(layout, dataset, plans, notice)  # which looks at the plan before
        keep_edited(layout, plans, notice)
        write_json(layout.planned, plans.to_json())
        write_json(layout.plans, plans.to_json())
        return Plans.read(layout.plans)  # as all who come later see it: hashes tell 420 from 420.0


def require_room_for(layout: DatasetLayout, stage: str) -> None:
    """Refuse, before hours of work, a folder of "preprocessed" or "results" that cannot be written to.

    Raises:
        ConfigurationError: It cannot.
    """
    folder = layout.preprocessed if stage == "preprocessed" else layout.results
    require_writable(folder, "name another root with --root or DARNET_ROOT, or mend the permissions")


def keep_plan(layout: DatasetLayout, dataset: VerifiedDataset, notice: Notice = warnings.warn) -> Plans:
    """The plan that is there, edits included; writes splits.json where cases have come or gone.

    Raises:
        ConfigurationError: No valid plan, one of other labels, or another process works on this data set.
    """
    plans = Plans.read(layout.plans)
    _refuse_other_labels(layout, dataset, plans)
    with no_run_beside(layout, notice):
        _write_splits(layout, dataset, plans, notice)
    return plans


def _write_splits(layout: DatasetLayout, dataset: VerifiedDataset, plans: Plans, notice: Notice) -> None:
    """Write the folds over the source cases, as `write_folds` does."""
    cases = [files.case_id for files in dataset.source]
    write_folds(layout.splits, cases, plans.segmentation.folds, plans.seed, notice, planned_seeds(layout))


def _refuse_other_labels(layout: DatasetLayout, dataset: VerifiedDataset, plans: Plans) -> None:
    if plans.labels != dataset.info.labels:
        raise ConfigurationError(
            "the plan was made for other labels",
            where=layout.plans,
            found=plans.labels,
            expected=dataset.info.labels,
            remedy="plan again",
        )


def preprocess(
    layout: DatasetLayout,
    dataset: VerifiedDataset,
    plans: Plans,
    processes: int = 1,
    quiet: bool = True,
    notice: Notice = warnings.warn,
) -> tuple[int, int]:
    """Fill the case stores; returns how many cases were made and how many were there.

    Raises:
        ConfigurationError: The plan was made for other labels, or another process preprocesses this data set.
        DataError: Everything that is wrong with any case, at once; the other cases are kept.
    """
    _refuse_other_labels(layout, dataset, plans)
    with no_run_beside(layout, notice):
        layout.preprocessing.unlink(missing_ok=True)
        counts = preprocess_dataset(dataset, layout, plans, processes, quiet)
        held = {domain: list(CaseStore(layout.cases(domain)).case_ids()) for domain in DOMAINS}
        replaced = any(files.replace_non_finite for files in dataset.cases)
        write_json(layout.preprocessing, {"plan": plan_hash(plans), REPLACED: replaced, **held})
    return counts


def train(
    layout: DatasetLayout,
    plans: Plans,
    fold: str | int,
    options: RunOptions,
    stage: str = "all",
    notice: Notice = warnings.warn,
) -> None:
    """Train one fold from the case stores: translator, synthetic volumes, DAR-UNet, rounds of self-training.

    The translator and the synthetic volumes are shared by all folds; a finished one is used as it is, an unfinished
    one is gone on with. Where the plan takes no patch out of translated volumes there are none. Folds may be trained
    side by side: one makes what they share, the others wait for it.

    Args:
        layout: Where the data set lies.
        plans: Its plan.
        fold: 0 to 4, or "all".
        options: Device, resume, quiet.
        stage: "all", or the only one to do.
        notice: Gets a sentence where self-training is left out.

    Raises:
        ConfigurationError: No such fold or stage, another process trains this fold, a stage before the one to do is
            not done, or a checkpoint that cannot be gone on with.
        DataError: The translation has collapsed.
    """
    if stage not in STAGES:
        raise ConfigurationError("there is no such stage", found=stage, expected=", ".join(STAGES))
    for written in ("preprocessed", "results"):
        require_room_for(layout, written)
    read_fold(layout.splits, fold)  # a fold that is not there is refused before scans are read
    check_preprocessed(layout, plans)
    if options.resume:
        require_checkpoints(layout, plans, fold)
    store = CaseStore(layout.cases("source"))
    for note in fold_notes(layout.splits, {case: store.record(case).class_voxels for case in store.case_ids()}, fold):
        notice(note)
    with only_one(fold_lock(layout.results, fold), f"trains fold {fold}", notice=notice):
        refuse_unfinished(layout, plans)  # from here on nothing preprocesses
        split = read_fold(layout.splits, fold)
        with ExitStack() as reading:
            _train_fold(layout, plans, fold, split, options, stage, notice, reading)


def _train_fold(
    layout: DatasetLayout,
    plans: Plans,
    fold: str | int,
    split: tuple[Sequence[str], Sequence[str]],
    options: RunOptions,
    stage: str,
    notice: Notice,
    reading: ExitStack,
) -> None:
    """Train a fold whose lock is held; `reading` holds that of the translated volumes as long as they are read."""
    fold_checkpoint = layout.segmentation(fold) / CHECKPOINT
    source, target = (CaseStore(layout.cases(domain)) for domain in DOMAINS)
    if stage in ("all", "segmentation"):
        refuse_trained(layout, fold, options.resume)
    publish_plans(plans, layout.results)
    if plans.translates or stage in ("translation", "synthesis"):
        images, variants = CaseStore(layout.synthetic), _translate(layout, plans, fold, options, stage, notice, reading)
    else:
        images, variants = source, {case: (case,) for case in source.case_ids()}
    if stage in ("all", "segmentation"):
        # An interruption may have come before the first checkpoint of this stage.
        resume = dataclasses.replace(options, resume=options.resume and fold_checkpoint.exists())
        if options.resume and not resume.resume:
            notice(f"fold {fold} has no checkpoint yet: its segmentation is trained from the start")
        train_segmentation(plans, images, source, variants, split, str(fold), layout.segmentation(fold), resume, target)
    if stage in ("all", "self_training"):
        if stage == "self_training" and not plans.self_training.rounds:
            raise ConfigurationError(
                "the plan has no round of self-training", where=layout.plans, remedy="set self_training.rounds"
            )
        alone = stage == "self_training"
        for round_number in range(1, plans.self_training.rounds + 1):
            if not _self_train(layout, plans, fold, split, images, variants, round_number, options, notice, alone):
                break
    if stage in ("all", "self_training") or (stage == "segmentation" and not plans.self_training.rounds):
        choose_round(plans, layout.results, fold, source, target, options.device, options.quiet, notice)


def _translate(
    layout: DatasetLayout,
    plans: Plans,
    fold: str | int,
    options: RunOptions,
    stage: str,
    notice: Notice,
    reading: ExitStack,
) -> dict[str, tuple[str, ...]]:
    """What a stage needs of the translator, the synthetic volumes and their health; returns the volumes' names.

    Folds that are started side by side share one translator and its volumes: the first makes them.
    """
    with only_one(translation_lock(layout.results), "trains the translator", wait=True, notice=notice):
        if stage in ("all", "translation"):
            # Folds after the first find the translator there; they must not be refused for it.
            resume = dataclasses.replace(options, resume=(layout.translation / CHECKPOINT).exists())
            source, target = (CaseStore(layout.cases(domain)) for domain in DOMAINS)
            train_translation(plans, source, target, layout.translation, resume)
        if stage == "translation":
            return {}
        if stage != "all":  # else the training of the translator has told it
            stores = {domain: CaseStore(layout.cases(domain)) for domain in DOMAINS}
            tell_changed_cases(layout.translation / CHECKPOINT, stores, notice)
        variants = _synthesize(layout, plans, options, notice)
        if stage != "synthesis":
            lock, work = volumes_lock(layout.results, fold), f"reads volumes for fold {fold}"
            reading.enter_context(only_one(lock, work, notice=notice, keep=False))
        if stage != "self_training":
            tell_health(plans, layout, variants, notice)
    return variants


def _synthesize(layout: DatasetLayout, plans: Plans, options: RunOptions, notice: Notice) -> dict[str, tuple[str, ...]]:
    """Make the synthetic volumes that are not there; returns the names of all, by source case."""
    translator, done = load_translator(plans, layout.translation, options.device)
    if done < plans.translation.iterations:
        raise ConfigurationError(
            "the translator is not trained to its end",
            where=layout.translation / CHECKPOINT,
            found=f"{done} iterations",
            expected=plans.translation.iterations,
            remedy="run darnet_train without --stage, or with --stage translation",
        )
    source, target, synthetic = (CaseStore(f) for f in (*map(layout.cases, DOMAINS), layout.synthetic))
    origin = synthesis_hash(plans, layout.translation / CHECKPOINT, target)
    replacing = partial(refuse_while_read, layout)
    with freed_memory_kept(options.device.type == "cpu"):
        return synthesize(
            plans, translator, source, target, synthetic, origin, options.device, options.quiet, notice, replacing
        )


def _self_train(
    layout: DatasetLayout,
    plans: Plans,
    fold: str | int,
    split: tuple[Sequence[str], Sequence[str]],
    images: CaseStore,
    variants: Mapping[str, Sequence[str]],
    round_number: int,
    options: RunOptions,
    notice: Notice,
    alone: bool,
) -> bool:
    """One round; tells whether it was done. It is left out where the teacher misses a class in most scans.

    Where self-training is done alone no other stage tells of which data the first teacher is.
    """
    before = layout.segmentation(fold) if round_number == 1 else layout.self_training(fold, round_number - 1)
    teacher, folder = before / CHECKPOINT, layout.self_training(fold, round_number)
    source, target = CaseStore(layout.cases("source")), CaseStore(layout.cases("target"))
    pseudo = CaseStore(layout.pseudo_labels(fold, round_number))
    length = stage_iterations(plans, "segmentation" if round_number == 1 else "self_training")
    require_teacher(teacher, length, split[0])
    if alone and round_number == 1:
        stores = {store.folder.name: store for store in (source, target, images)}
        tell_changed_cases(teacher, stores, notice)
    predictor = Predictor(plans, [load_network(teacher, plans, notice)], options.device)
    targets = label_targets(plans, predictor, sha256_of(teacher), source, target, pseudo, options.quiet)
    missing = missing_classes(plans, source, pseudo)
    if missing:
        left_out = "self-training" if round_number == 1 else f"round {round_number}"
        pictures = "translation/previews and at " if plans.translates else ""
        notice(
            f"no {left_out}: the network of {before} finds {', '.join(missing)} in less than half of the target "
            f"scans that should show it. Look at {pictures}predictions before you trust its masks"
        )
        return False
    resume = dataclasses.replace(options, resume=options.resume and (folder / CHECKPOINT).exists())
    former = [CaseStore(layout.pseudo_labels(fold, n)) for n in range(1, round_number)]
    train_student(
        plans, teacher, images, source, variants, pseudo, targets, split, str(fold), round_number, folder, resume,
        former,
    )  # fmt: skip
    return True
