"""Plans that were changed by hand."""

from __future__ import annotations

from collections.abc import Callable

from darnet.errors import ConfigurationError
from darnet.io import keep_beside, read_json
from darnet.layout import DatasetLayout


def keep_edited(layout: DatasetLayout, notice: Callable[[str], None]) -> None:
    """Keep a plan beside the one that will take its place, where it is not as it was planned.

    Args:
        layout: Where the data set lies.
        notice: Gets a sentence where a plan was kept.
    """
    if not layout.plans.exists() or not layout.planned.exists():
        return
    try:
        as_planned = read_json(layout.plans) == read_json(layout.planned)
    except ConfigurationError:  # hardly as it was planned
        as_planned = False
    if not as_planned:
        notice(
            f"{layout.plans} was changed by hand and is planned anew; as it was it is {keep_beside(layout.plans)}. To "
            "go on with such a plan, give --keep_plan"
        )
