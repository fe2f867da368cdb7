"""Which source cases each fold trains on and which it holds out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from darnet.errors import ConfigurationError
from darnet.io import keep_beside, read_json, write_json
from darnet.planning import make_splits
from darnet.words import counted


def read_fold(splits: Path, fold: int | str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Training and held-out cases of a fold; fold "all" trains on every case and holds none out.

    Raises:
        ConfigurationError: No splits file, or no such fold.
    """
    if not splits.exists():
        raise ConfigurationError("there are no folds", where=splits, remedy="run darnet_plan_and_preprocess first")
    folds = _checked(read_json(splits), splits)
    if fold == "all":
        return tuple(sorted({case for f in folds for case in (*f["train"], *f["val"])})), ()
    if not str(fold).isdecimal() or int(fold) >= len(folds):
        raise ConfigurationError(
            f"there is no fold {fold}",
            where=splits,
            expected=f"0 to {len(folds) - 1}, or all",
            remedy="give one of these folds",
        )
    chosen = folds[int(fold)]
    return tuple(chosen["train"]), tuple(chosen["val"])


def write_folds(
    splits: Path,
    cases: Sequence[str],
    number: int,
    seed: int,
    notice: Callable[[str], None],
    former: Collection[int] | None = (),
) -> None:
    """Deal the cases into folds, but keep those of just these cases and this seed, and those made by hand of some.

    Folds that are dealt anew stay beside, as `keep_beside` keeps them.

    Args:
        splits: The file of the folds.
        cases: Source cases that are there.
        number: Of folds.
        seed: Of the deal.
        notice: Gets a sentence on cases that are in no fold, on folds that were dealt anew, and on those made by hand
            where the seed is another.
        former: Seeds of earlier deals: folds of these are not made by hand. None where no folds are, and those of any
            seed are kept.

    Raises:
        ConfigurationError: A file of another form.
    """
    if splits.exists():
        reason = _why_anew(splits, cases, seed, notice, former)
        if reason is None:
            return
        notice(f"{reason}: folds are dealt anew, the former ones are {keep_beside(splits)}")
    write_json(splits, make_splits(cases, number, seed))


def _why_anew(
    splits: Path, cases: Sequence[str], seed: int, notice: Callable[[str], None], former: Collection[int] | None
) -> str | None:
    """Why the folds on disk are not kept; None where they are. See `write_folds`."""
    folds = _checked(read_json(splits), splits)
    dealt = {case for fold in folds for case in (*fold["train"], *fold["val"])}
    left_out, gone = sorted(set(cases) - dealt), sorted(dealt - set(cases))
    seeds = () if former is None else (seed, *former)
    of_seed = next((one for one in seeds if folds == make_splits(sorted(dealt), len(folds), one)), None)
    by_hand = former is not None and of_seed is None
    if gone or (left_out and not by_hand):
        changes = [f"{word} {', '.join(names)}" for word, names in (("new:", left_out), ("gone:", gone)) if names]
        return f"source cases have changed ({'; '.join(changes)})"
    if left_out:
        notice(
            f"{', '.join(left_out)}: in no fold of {splits}, which was made by hand and is kept; add them there, "
            "or move it away to deal anew"
        )
    if by_hand and former and seed not in former:
        notice(f"{splits} was made by hand and is kept: seed {seed} changes no fold; move it away to deal anew")
    return None if of_seed in (None, seed) else f"the folds are of seed {of_seed}, and it is {seed} now"


def other_number_of_folds(splits: Path, planned: int, cases: int) -> str | None:
    """A sentence where the folds on disk, which are kept as they may be anyone's own, are not as many as planned.

    Args:
        splits: The file of the folds.
        planned: Folds in the plan.
        cases: Source cases: there are no more folds than these.

    Raises:
        ConfigurationError: No splits file, or one of another form.
    """
    found, planned = len(_checked(read_json(splits), splits)), min(planned, cases)
    if found == planned:
        return None
    has = f"{splits.name} has {counted(found, 'fold')} and is kept"
    return f"{has}; the plan says {planned}: move {splits} away to deal anew"


def fold_notes(splits: Path, shown: Mapping[str, Mapping[str, float]], fold: int | str | None = None) -> list[str]:
    """Notes on classes that a fold cannot learn, or cannot be validated on, as none of its cases shows them.

    Args:
        splits: The file of the folds.
        shown: How much of each class each source case shows.
        fold: Its number, "all", or None for each fold.

    Raises:
        ConfigurationError: No splits file, or no such fold.
    """
    classes = sorted({name for amounts in shown.values() for name in amounts})
    notes = []
    for number in range(len(read_json(splits))) if fold is None else [fold]:
        parts = zip(read_fold(splits, number), ("trains", "validates"), strict=True)
        for cases, does in parts:
            absent = [c for c in classes if not any(shown.get(case, {}).get(c, 0) > 0 for case in cases)]
            if cases and absent:
                notes.append(f"fold {number} {does} on no case with {', '.join(absent)}")
    return notes


def _checked(folds: Any, splits: Path) -> list[dict[str, list[str]]]:
    """What was read, if it has the form of folds."""
    good = isinstance(folds, list) and len(folds) > 0
    for fold in folds if good else ():
        parts = [fold.get("train"), fold.get("val")] if isinstance(fold, dict) else [None]
        good = good and all(isinstance(p, list) and all(isinstance(case, str) for case in p) for p in parts)
    if not good:
        raise ConfigurationError(
            "the file has no folds",
            where=splits,
            expected='[{"train": ["CASE", ...], "val": [...]}, ...]',
            remedy="mend the file, or move it away and run darnet_plan_and_preprocess --keep_plan",
        )
    for number, fold in enumerate(folds):
        counts = Counter((*fold["train"], *fold["val"]))
        twice = sorted(case for case, count in counts.items() if count > 1)
        if twice:
            raise ConfigurationError(
                f"fold {number} has cases twice",
                where=splits,
                found=", ".join(twice),
                expected="each case once, to train on or held out",
                remedy="mend the file, or move it away and run darnet_plan_and_preprocess --keep_plan",
            )
    return cast("list[dict[str, list[str]]]", folds)
