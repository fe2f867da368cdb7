"""Cases in parallel processes: bounded, interruptible, and told apart when one fails or is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import (
    connection,
    forkserver,
    get_all_start_methods,
    get_context,
    parent_process,
    resource_tracker,
)
from typing import TypeVar

from darnet.errors import DarnetError, ResourceError, is_out_of_memory, out_of_memory
from darnet.progress import progress

# Importing torch takes longer than most cases do; Windows has no way to import it once for all workers.
START_METHOD = "forkserver" if "forkserver" in get_all_start_methods() else "spawn"

Task = TypeVar("Task")
Result = TypeVar("Result")


def start_server(module: str) -> None:
    """Let the server that workers are forked from import a module while this process goes on.

    Without it the server starts with the first workers, which then wait until it has imported.

    Args:
        module: Its name; best one that imports the functions of all later calls of `run_cases`.
    """
    if START_METHOD != "forkserver":
        return
    _set_preload(module)
    with contextlib.suppress(OSError):  # `run_cases` tells what is wrong, if it still is
        resource_tracker.ensure_running()  # the server would start it, and its start lets interrupts through again
        with _interrupts_held():
            forkserver.ensure_running()


def run_cases(
    function: Callable[[Task], Result], tasks: Mapping[str, Task], processes: int, description: str, quiet: bool
) -> Iterator[tuple[str, Result | DarnetError]]:
    """Call a function for each case and give its result, or the `DarnetError` that it raised, as soon as it is there.

    With one process the calls happen in this one. When the system kills a worker, the cases left are tried again with
    half as many. Memory that does not suffice for a case is a `ResourceError` of that case. Workers end with this
    process, however it ends.

    Args:
        function: A function of a module, so that workers can find it.
        tasks: Its argument for each case.
        processes: Most cases at once.
        description: Of the progress bar, and of the work in messages.
        quiet: No progress bar.

    Raises:
        ResourceError: A worker that was alone was killed; the error names the case. Or the system has no room for
            what processes share.
    """
    with progress(description, len(tasks), quiet=quiet) as bar:
        for case, result in _results(function, tasks, min(processes, len(tasks)), description):
            bar.update()
            yield case, result


def _results(
    function: Callable[[Task], Result], tasks: Mapping[str, Task], workers: int, work: str
) -> Iterator[tuple[str, Result | DarnetError]]:
    if workers <= 1:
        for case, task in tasks.items():
            yield case, _guarded(function, task, case, work)
        return
    left = dict(tasks)
    while left:
        with _pool(workers, function.__module__) as pool:
            futures = _submit(pool, function, left, work)
            broken = len(futures) < len(left)
            for future in as_completed(futures):
                try:
                    result = future.result()
                except BrokenProcessPool:
                    broken = True  # for this case and all that were not done; results that are there are still taken
                    continue
                left.pop(futures[future])
                yield futures[future], result
        if broken:
            if workers == 1:
                raise ResourceError(
                    f"{work}: a worker process ended without a word, most likely killed for want of memory",
                    where=f"case {next(iter(left))}",
                    remedy="see what it wrote above, if anything; else free some memory, or use a machine with more, "
                    "and run the command again",
                )
            workers //= 2


@contextlib.contextmanager
def _pool(workers: int, module: str) -> Iterator[ProcessPoolExecutor]:
    """A pool whose processes end at once when the body is left by an exception, or when this process dies.

    Workers are forked, now and for later pools, from a server that has imported `module` once.
    """
    context = get_context(START_METHOD)
    if START_METHOD == "forkserver":
        _set_preload(module)
    receiver, sender = context.Pipe(duplex=False)
    with contextlib.closing(receiver), contextlib.closing(sender):
        try:
            pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(receiver,))
        except OSError as error:
            raise _no_shared_memory(error) from error
        try:
            yield pool
        except BaseException:
            sender.close()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _set_preload(module: str) -> None:
    """Have the server import a module, if it does not run yet."""
    # It would look for modules in the current folder first: one that holds a folder "darnet" or a file "numpy.py"
    # must not stand in their place. Before Python 3.11 workers import them themselves, which is slower.
    os.environ["PYTHONSAFEPATH"] = "1"
    safe = sys.version_info >= (3, 11)
    get_context("forkserver").set_forkserver_preload([module, "darnet.fork_server"] if safe else [])


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Processes that start here never see Ctrl-C: this process decides when they end."""
    held = {signal.SIGINT} if hasattr(signal, "pthread_sigmask") else set()
    former = signal.pthread_sigmask(signal.SIG_BLOCK, held) if held else None
    try:
        yield
    finally:
        if former is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, former)


def _submit(
    pool: ProcessPoolExecutor, function: Callable[[Task], Result], tasks: Mapping[str, Task], work: str
) -> dict[Future[Result | DarnetError], str]:
    """Hand over all cases, or those before a worker was killed; workers start here."""
    futures: dict[Future[Result | DarnetError], str] = {}
    try:
        with _interrupts_held(), contextlib.suppress(BrokenProcessPool):
            for case, task in tasks.items():
                futures[pool.submit(_guarded, function, task, case, work)] = case
    except OSError as error:
        raise _no_shared_memory(error) from error
    return futures


def _no_shared_memory(error: OSError) -> ResourceError:
    return ResourceError(
        "worker processes cannot be started",
        where="/dev/shm and the folder for temporary files, where processes keep what they share",
        found=error,
        remedy="make /dev/shm larger (docker run --shm-size=1g), or use one process with -np 1",
    )


def _guarded(function: Callable[[Task], Result], task: Task, case: str, work: str) -> Result | DarnetError:
    try:
        return function(task)
    except DarnetError as error:
        return error
    except Exception as error:
        if is_out_of_memory(error):
            remedy = "use fewer processes with -np, or a machine with more memory"
            return out_of_memory(work, f"case {case}", remedy)
        raise


def _start(receiver: connection.Connection) -> None:
    """Prepare a worker."""
    import torch

    torch.set_num_threads(1)  # more threads than cores only wait for each other
    threading.Thread(target=_end_with, args=(receiver,), daemon=True).start()


def _end_with(receiver: connection.Connection) -> None:
    """End this process when the one that started it closes its end of the pipe, or dies."""
    parent = parent_process()
    connection.wait([receiver, *([parent.sentinel] if parent else [])])
    os._exit(1)
