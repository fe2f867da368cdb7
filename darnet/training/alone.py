"""Work on a data set that nothing may train beside."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from darnet.io import only_one
from darnet.layout import DatasetLayout


@contextlib.contextmanager
def no_run_beside(layout: DatasetLayout, notice: Callable[[str], None] = warnings.warn) -> Iterator[None]:
    """Plan or preprocess alone: a training would go on with the old plan and read cases of both.

    Args:
        layout: Where the data set lies.
        notice: Gets a sentence where a lock of a process that was killed is taken over.

    Raises:
        ConfigurationError: Another process plans, preprocesses or trains this data set.
    """
    lock = layout.preprocessed / ".preprocessing.lock"
    with only_one(lock, "plans or preprocesses this data set", keep=False, notice=notice), ExitStack() as held:
        for path in sorted(layout.results.rglob(".*lock")):  # of folds, translators and experiments
            held.enter_context(only_one(path, "trains on this data set", notice=notice))
        yield
