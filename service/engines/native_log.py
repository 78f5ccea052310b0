"""Keeps what whisper.cpp logs: away from stderr, and at hand when a load fails.

Its functions hand out no reason for a failure, only log one.
"""

import atexit
import collections
import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

ERROR = 4  # GGML_LOG_LEVEL_ERROR
MAX_LINES = 500  # a load logs about 40

_of_thread = threading.local()


def lines() -> collections.deque[tuple[int, str]]:
    """The newest (level, text) lines that the library logged in this thread; clear it at will."""
    if not hasattr(_of_thread, "lines"):
        _of_thread.lines = collections.deque(maxlen=MAX_LINES)
    found: collections.deque[tuple[int, str]] = _of_thread.lines
    return found


def install(set_callback: Callable[[Callable[[int, str], None] | None], None]) -> None:
    """Have `set_callback` (the library's `whisper_log_set`) send its lines here.

    The callback is taken back at exit: the library would drop it when there is no interpreter any
    more, and abort the process.
    """
    set_callback(_keep)
    atexit.register(set_callback, None)


def _keep(level: int, text: str) -> None:
    lines().append((level, text))
    log.debug("%s", text.rstrip())
