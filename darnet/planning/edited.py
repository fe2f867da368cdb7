"""Plans that are there when a data set is planned anew: changed by hand, or of another seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from darnet.errors import collect
from darnet.io import keep_beside
from darnet.layout import DatasetLayout
from darnet.plans import Plans


def keep_edited(layout: DatasetLayout, plans: Plans, notice: Callable[[str], None]) -> None:
    """Keep a plan beside the one that will take its place, where it is not as it was planned.

    Args:
        layout: Where the data set lies.
        plans: The plan that will take its place.
        notice: Gets a sentence where a plan was kept.
    """
    if not layout.plans.exists() or _read(layout.plans) in (plans, _read(layout.planned) or plans):
        return
    how = "was" if layout.planned.exists() else "may have been"
    notice(
        f"{layout.plans} {how} changed by hand and is planned anew; as it was it is {keep_beside(layout.plans)}. To go "
        "on with such a plan, give --keep_plan"
    )


def planned_seeds(layout: DatasetLayout) -> tuple[int, ...]:
    """Seeds of the plan that is there and of that plan as it was planned, as far as they can be read."""
    return tuple(plans.seed for plans in (_read(layout.plans), _read(layout.planned)) if plans is not None)


def _read(path: Path) -> Plans | None:
    """A plan; None where there is none that can be read."""
    return collect([], lambda: Plans.read(path))
