"""The hub's beat: what comes from many calls in small pieces is read together.

A frame of one call costs little, but to wake for it costs several times as much on cores whose
caches inference has filled. So readers wait for the beat, and one waking serves all of them. Who
waits for every second or third beat is spread over those between, and each has a signal of its own:
between two of them the hub looks after everything else that is due.
"""

import gevent
from gevent.event import Event as Signal

from service.background import Background

BEAT_S = 0.02  # as often as a frame comes


class Beat(Background):
    """Wakes who waits, from `start` to `stop`."""

    def __init__(self) -> None:
        super().__init__(self._run)
        self._number = 0
        self._awaited: dict[int, list[Signal]] = {}  # by the number of the beat

    def wait(self, every: int = 1, of: int = 0) -> None:
        """Wait for the next beat of those `every` so many that the number `of` is one of."""
        number = self._number + 1
        number += (of - number) % every
        signal = Signal()
        self._awaited.setdefault(number, []).append(signal)
        signal.wait()

    def _run(self) -> None:
        while True:
            gevent.sleep(BEAT_S)
            self._number += 1
            for signal in self._awaited.pop(self._number, ()):
                signal.set()
