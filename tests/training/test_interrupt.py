from __future__ import annotations

import signal
import threading

import pytest

from darnet.errors import ExitCode, Interrupted, Terminated
from darnet.training.interrupt import InterruptGuard


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_only_noted(number):
    with InterruptGuard() as guard:
        assert guard.requested is None
        signal.raise_signal(number)
        assert guard.requested == number


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_stops_at_once(second):
    with InterruptGuard(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(second)


def test_former_handlers_come_back_even_after_an_error():
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with InterruptGuard() as guard:
        assert signal.getsignal(signal.SIGINT) == guard._note
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before
    with pytest.raises(RuntimeError, match="inside"), InterruptGuard():
        raise RuntimeError("inside")
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize(
    ("number", "kind", "code", "name"),
    [
        (signal.SIGINT, Interrupted, ExitCode.INTERRUPTED, "Ctrl-C"),
        (signal.SIGTERM, Terminated, ExitCode.TERMINATED, "SIGTERM"),
    ],
)
def test_error_of_each_signal(number, kind, code, name):
    with InterruptGuard() as guard:
        signal.raise_signal(number)
    error = guard.error("segmentation", 12)
    assert type(error) is kind
    assert error.exit_code == code
    assert f"segmentation was stopped by {name} after iteration 12" in str(error)
    assert "RunOptions(resume=True)" in error.remedy


def test_guard_in_another_thread_leaves_the_handlers():
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def work() -> None:
        with InterruptGuard() as guard:
            seen.append((guard.requested, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(None, before)]
