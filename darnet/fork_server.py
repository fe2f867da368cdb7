"""Imported by the server that workers are forked from, and by nothing else.

A worker that is still being started when its command ends finds what they share gone. The command has said why it
ended; a traceback of the worker beside that would only confuse.
"""

from __future__ import annotations

import sys
from types import TracebackType


def _tell(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if not issubclass(kind, FileNotFoundError):
        sys.__excepthook__(kind, error, traceback)


sys.excepthook = _tell
