"""Cases in parallel processes: bounded, interruptible, and told apart when one fails or is killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from darnet.errors import DarnetError, ResourceError
from darnet.progress import progress

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_cases(
    function: Callable[[Task], Result], tasks: Mapping[str, Task], processes: int, description: str, quiet: bool
) -> Iterator[tuple[str, Result | DarnetError]]:
    """Call a function for each case and give its result, or the `DarnetError` that it raised, as soon as it is there.

    With one process the calls happen in this one. When the system kills a worker, the cases left are tried again with
    half as many.

    Args:
        function: A function of a module, so that workers can find it.
        tasks: Its argument for each case.
        processes: Most cases at once.
        description: Of the progress bar.
        quiet: No progress bar.

    Raises:
        ResourceError: A worker that was alone was killed; the error names the case.
    """
    with progress(description, len(tasks), quiet=quiet) as bar:
        for case, result in _results(function, tasks, min(processes, len(tasks))):
            bar.update()
            yield case, result


def _results(
    function: Callable[[Task], Result], tasks: Mapping[str, Task], workers: int
) -> Iterator[tuple[str, Result | DarnetError]]:
    if workers <= 1:
        for case, task in tasks.items():
            yield case, _guarded(function, task)
        return
    left = dict(tasks)
    while left:
        pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread)
        try:
            futures = {pool.submit(_guarded, function, task): case for case, task in left.items()}
            for future in as_completed(futures):
                result = future.result()
                left.pop(futures[future])
                yield futures[future], result
        except BrokenProcessPool:
            if workers == 1:
                raise ResourceError(
                    "a worker process was killed, most likely for want of memory",
                    where=f"case {next(iter(left))}",
                    remedy="free some memory, or use a machine with more, and run the command again",
                ) from None
            workers //= 2
        finally:
            pool.shutdown(cancel_futures=True)


def _guarded(function: Callable[[Task], Result], task: Task) -> Result | DarnetError:
    try:
        return function(task)
    except DarnetError as error:
        return error


def _one_thread() -> None:
    # More threads than cores only wait for each other.
    import torch

    torch.set_num_threads(1)
