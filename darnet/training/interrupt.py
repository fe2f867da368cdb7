"""SIGTERM and Ctrl-C as a request that training obeys between two iterations."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

from darnet.errors import Interrupted, Terminated


class InterruptGuard:
    """While entered, SIGINT and SIGTERM set `requested` instead of killing; a second one kills at once."""

    def __init__(self) -> None:
        self.requested: int | None = None
        self._former: dict[int, object] = {}

    def __enter__(self) -> InterruptGuard:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._former[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested is None:
            self.requested = number
            return
        former = self._former.get(number)
        if callable(former):
            former(number, frame)
        raise KeyboardInterrupt

    def error(self, stage: str, iteration: int) -> Interrupted:
        """The error to raise once a checkpoint is written; commands put their own flags in place of its remedy."""
        kind, by = (Terminated, "SIGTERM") if self.requested == signal.SIGTERM else (Interrupted, "Ctrl-C")
        return kind(
            f"{stage} was stopped by {by} after iteration {iteration}; its checkpoint is written",
            remedy="go on from it with RunOptions(resume=True)",
        )
