"""The plan's choice between source scans as they are and with bright and dark turned round."""

from __future__ import annotations

import dataclasses

import numpy as np

from darnet.errors import DarnetError
from darnet.imaging import body_axes
from darnet.layout import DOMAINS
from darnet.planning import CaseFiles, Fingerprint, Preset, VerifiedDataset, read_case
from darnet.plans import Plans
from darnet.preprocessing import preprocess_arrays
from darnet.selection.contrast import LEAST_CASES, Contrasts, Volume, compare_contrasts
from darnet.spread import spread
from darnet.workers import run_cases

MOST_CASES = {"source": 6, "target": 5}
COARSE = 80_000  # voxels of a body's box


@dataclasses.dataclass(frozen=True)
class _Task:
    files: CaseFiles
    plans: Plans


def choose_source_contrast(
    plans: Plans,
    dataset: VerifiedDataset,
    fingerprint: Fingerprint,
    preset: Preset,
    processes: int = 1,
    quiet: bool = True,
) -> Plans:
    """The plan with the contrast of source scans that suits the target scans better, as far as a forest can tell.

    Where either is clearly better, as few patches get a random curve as between any two kinds of scan.

    Args:
        plans: The plan, source scans as they are.
        dataset: The raw data set.
        fingerprint: Of its cases.
        preset: Its share of random curves.
        processes: Most cases read at once.
        quiet: No progress bar.

    Raises:
        DarnetError: A case cannot be read.
    """
    if len(dataset.source) < LEAST_CASES:
        return with_contrast(plans, preset, None)
    coarse = on_coarse_grid(plans, fingerprint)
    tasks = {
        f"{files.domain} {files.case_id}": _Task(files, coarse)
        for domain in DOMAINS
        for files in spread([case for case in dataset.cases if case.domain == domain], MOST_CASES[domain])
    }
    volumes: dict[str, Volume] = {}
    for name, result in run_cases(_read_task, tasks, processes, "compare contrasts", quiet):
        if isinstance(result, DarnetError):
            raise result
        volumes[name] = result
    source, target = ([volumes[name] for name in tasks if name.startswith(f"{domain} ")] for domain in DOMAINS)
    single = plans.inference.largest_component
    contrasts = compare_contrasts(source, target, plans.foreground, single, coarse.preprocessing.spacing, plans.seed)
    return with_contrast(plans, preset, contrasts)


def on_coarse_grid(plans: Plans, fingerprint: Fingerprint) -> Plans:
    """The plan with voxels so large that the body fills about `COARSE` of them, or its own where these are larger."""
    spacing = plans.preprocessing.spacing
    extents = np.array([fingerprint.median(domain, "body_extent") for domain in DOMAINS])
    extents[0] = np.minimum(extents[0], plans.preprocessing.source_limits)
    voxels = float(np.mean([np.prod(np.divide(extent, spacing)) for extent in extents]))
    factor = max((voxels / COARSE) ** (1 / 3), 1.0)
    d, h, w = (s * factor for s in spacing)
    return dataclasses.replace(
        plans, preprocessing=dataclasses.replace(plans.preprocessing, spacing=(d, h, w), source_inverted=None)
    )


def with_contrast(plans: Plans, preset: Preset, contrasts: Contrasts | None) -> Plans:
    """The plan with what follows from a comparison.

    Between two sequences of MR in doubt no patch comes out of a translated volume: a short training of the translator
    keeps bright what is bright, and the segmentation would be sure of it.
    """
    if contrasts is None:
        return _in_doubt(plans, preset, "as they are: too few scans, or classes too thin, to compare")
    scores = (
        f"a quick forest that learned from source scans finds shapes in target scans that score {contrasts.as_is:.2f} "
        f"where the source was as it is, {contrasts.inverted:.2f} where its bright and dark were turned round"
    )
    if contrasts.choice is None:
        return _in_doubt(plans, preset, f"as they are, in doubt: {scores}")
    if contrasts.choice:
        changed = _changed(plans, True, f"turned round: {scores}")
    else:
        changed = _changed(plans, None, f"as they are: {scores}")
    if plans.segmentation.appearance == preset.appearance:
        return changed
    why = plans.segmentation.why | {
        "appearance": "few curves: as preprocessed, source scans show bright what target scans do"
    }
    own = dataclasses.replace(plans.segmentation, appearance=preset.appearance, why=why)
    return dataclasses.replace(changed, segmentation=own)


def _in_doubt(plans: Plans, preset: Preset, why: str) -> Plans:
    changed = _changed(plans, None, why)
    if plans.segmentation.appearance == preset.appearance:
        return changed
    reason = "between two sequences a short training of the translator keeps bright what the target shows dark"
    segmentation, rounds = plans.segmentation, plans.self_training
    return dataclasses.replace(
        changed,
        segmentation=dataclasses.replace(
            segmentation, source_share=1.0, why=segmentation.why | {"source_share": reason}
        ),
        self_training=dataclasses.replace(
            rounds,
            matched_translated=None,
            why=rounds.why | {"matched_translated": reason},
        ),
    )


def _changed(plans: Plans, inverted: bool | None, why: str) -> Plans:
    former = plans.preprocessing
    own = dataclasses.replace(former, source_inverted=inverted, why=former.why | {"source_inverted": why})
    return dataclasses.replace(plans, preprocessing=own)


def _read_task(task: _Task) -> Volume:
    """Read a case and bring it to the grid; labels of source scans alone."""
    files = task.files
    scan, labels = read_case(files, task.plans.labels)
    case = preprocess_arrays(
        scan.array, scan.affine, task.plans, files.domain, None if labels is None else labels.array
    )
    return Volume(case.image[0], case.labels, body_axes(scan.affine, case.orientation))
