"""Whether the case stores are what the plan and the raw scans would give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from darnet.errors import ConfigurationError, DataError
from darnet.io import CaseStore, read_dataset_json, read_json
from darnet.layout import DOMAINS, DatasetLayout
from darnet.planning import CaseFiles
from darnet.plans import Plans
from darnet.preprocessing import case_hash
from darnet.training.folds import read_fold
from darnet.training.stages import plan_hash

REPLACED = "replace_non_finite"  # key of preprocessing.json
REMEDY = "run darnet_plan_and_preprocess --keep_plan"


def check_preprocessed(layout: DatasetLayout, plans: Plans, domains: Sequence[str] = DOMAINS) -> dict[str, Any]:
    """Refuse case stores that are not whole, or were made with another plan or of other scans; gives what is known.

    Raises:
        ConfigurationError: What is wrong with them.
    """
    made = refuse_unfinished(layout, plans)
    _refuse_other_labels(layout, plans)
    changed = _changed_cases(layout, plans)
    if changed:
        raise ConfigurationError(
            "scans or labels have changed since they were preprocessed",
            where=layout.raw,
            found=", ".join(changed),
            remedy=REMEDY + "; only these cases are made again",
        )
    wanted = {domain: set(made.get(domain, ())) for domain in domains}
    wanted["source"] |= {case for part in read_fold(layout.splits, "all") for case in part}
    for domain in domains:
        missing = sorted(wanted[domain] - set(CaseStore(layout.cases(domain)).case_ids()))
        if missing:
            raise ConfigurationError(
                "preprocessed cases are missing", where=layout.cases(domain), found=", ".join(missing), remedy=REMEDY
            )
    return made


def refuse_unfinished(layout: DatasetLayout, plans: Plans) -> dict[str, Any]:
    """Refuse case stores that are not whole, or were made with another plan; gives what is known of them.

    Raises:
        ConfigurationError: They are, or were.
    """
    if not layout.preprocessing.exists():
        raise ConfigurationError("preprocessing is not finished", where=layout.preprocessed, remedy=REMEDY)
    made: dict[str, Any] = read_json(layout.preprocessing)
    if made.get("plan") != plan_hash(plans):
        raise ConfigurationError(
            "the preprocessed cases were made with another plan", where=layout.preprocessed, remedy=REMEDY
        )
    return made


def _refuse_other_labels(layout: DatasetLayout, plans: Plans) -> None:
    """A network would learn, and its masks have, values of classes that dataset.json no longer gives them."""
    if not layout.dataset_json.is_file():
        return
    found = read_dataset_json(layout.dataset_json).labels
    if found != plans.labels:
        raise ConfigurationError(
            "the classes have changed since the data set was planned",
            where=layout.dataset_json,
            found=found,
            expected=plans.labels,
            remedy="put them back, or run darnet_plan_and_preprocess again",
        )


def _changed_cases(layout: DatasetLayout, plans: Plans) -> list[str]:
    """Raw cases of which the stores hold another version, by the hash of their files. Files may have been put away."""
    if not layout.dataset_json.is_file():
        return []
    ending = read_dataset_json(layout.dataset_json).file_ending
    changed = []
    for domain in DOMAINS:
        store = CaseStore(layout.cases(domain))
        for case in store.case_ids():
            labels = layout.labels / f"{case}{ending}" if domain == "source" else None
            files = CaseFiles(case, domain, layout.images(domain) / f"{case}_0000{ending}", labels)
            there = files.image.is_file() and (labels is None or labels.is_file())
            if there and _hash_in(store, case) != case_hash(files, plans):
                changed.append(f"{domain} {case}")
    return changed


def _hash_in(store: CaseStore, case: str) -> str | None:
    """Hash of what a stored case was made from; None where its record is damaged."""
    try:
        return store.record(case).content_hash
    except DataError:
        return None
