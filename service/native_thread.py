"""A native thread that greenlets can wait for: blocking work belongs there, never on the hub."""

import os
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

from gevent.threadpool import ThreadPool

T = TypeVar("T")


class NativeThread:
    """One thread of its own: what runs in it runs one after the other, in the order of `run`."""

    def __init__(self) -> None:
        self._pool = ThreadPool(1)

    def run(self, work: Callable[[], T]) -> T:
        """Run `work` in the thread while other greenlets run; raises what it raises."""
        outcome: T | Exception = self._pool.apply(_outcome, (work,))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def be_nicer(self, by: int) -> None:
        """Let other threads of this process come first; on Linux, where threads have priorities of
        their own, and nothing elsewhere."""
        if sys.platform == "linux":
            self.run(lambda: _be_nicer(by))

    def stop(self) -> None:
        """End the thread, after the work under way."""
        self._pool.kill()


def _outcome(work: Callable[[], T]) -> T | Exception:
    """The result or the error, as a value: gevent prints what a pool's function raises."""
    try:
        return work()
    except Exception as error:
        return error


def _be_nicer(by: int) -> None:
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + by)
