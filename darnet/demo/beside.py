"""Work in a process of its own, beside what this one does."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from typing import ParamSpec

from darnet.errors import DarnetError, Interrupted, ResourceError

Arguments = ParamSpec("Arguments")

GRACE_SECONDS = 5.0  # Ctrl-C reaches both processes: so long may the other take to save of its own accord


@contextmanager
def beside(function: Callable[Arguments, None], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Iterator[None]:
    """Run a function in another process, with one thread, while the body runs; leaving the body waits for it.

    When the body raises, or this process dies, the other process is asked to stop with SIGTERM.

    Args:
        function: A function of a module, so that the other process can find it.
        args: Its arguments.
        kwargs: Its arguments.

    Raises:
        DarnetError: What the function raised.
        ResourceError: The other process was killed.
    """
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sender, function, args, kwargs))
    process.start()
    sender.close()
    try:
        yield
        error = _outcome(receiver)
        process.join()
    except BaseException:
        process.join(GRACE_SECONDS)
        if process.is_alive():
            process.terminate()
            process.join()
        raise
    finally:
        receiver.close()
    if error is not None:
        raise error


def _outcome(receiver: Connection) -> DarnetError | None:
    try:
        error: DarnetError | None = receiver.recv()
    except EOFError:
        return ResourceError(
            "a process that trains beside this one ended without a word, most likely killed for want of memory",
            remedy="free some memory and run the same command again: it goes on where it was",
        )
    return error


def _work(
    sender: Connection, function: Callable[..., None], args: tuple[object, ...], kwargs: dict[str, object]
) -> None:
    """The other process: call the function, send what it raised."""
    import torch

    torch.set_num_threads(1)
    threading.Thread(target=_stop_when_orphaned, daemon=True).start()
    try:
        function(*args, **kwargs)
        sender.send(None)
    except DarnetError as error:
        sender.send(error)
    except KeyboardInterrupt:
        sender.send(Interrupted("stopped", remedy="run the same command again: it goes on where it was"))
    except Exception as error:
        sender.send(DarnetError(f"internal error beside this process: {type(error).__name__}: {error}"))
    finally:
        sender.close()


def _stop_when_orphaned() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
