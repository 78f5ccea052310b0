"""Work that goes on beside the calls, in a greenlet of its own."""

from collections.abc import Callable

import gevent


class Background:
    """Runs `work`, which does not end by itself, from `start` to `stop`."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._greenlet: gevent.Greenlet[[], None] | None = None

    def start(self) -> None:
        self._greenlet = gevent.spawn(self._work)

    def stop(self) -> None:
        """End it where it waits; nothing happens before `start`."""
        if self._greenlet is not None:
            self._greenlet.kill()
