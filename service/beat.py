"""The hub's beat: what comes from many calls in small pieces is read together.

A frame of one call costs little, but to wake for it costs several times as much on cores whose
caches inference has filled. So readers wait for the beat, and one waking serves all of them. Who
waits for every second or third beat shares it with its neighbours only: many calls are spread over
the beats between. And each has a signal of its own, so other greenlets that are ready take turns
with them. Who waits for a beat that is not running waits for ever.
"""

import gevent
from gevent.event import Event as Signal

from service.background import Background

BEAT_S = 0.02  # as often as a frame comes
NEIGHBOURS = 8  # calls whose ids follow each other: their frames take the hub 1 to 2 ms


class Beat(Background):
    """Wakes who waits, from `start` to `stop`."""

    def __init__(self) -> None:
        super().__init__(self._run)
        self._number = 0
        self._awaited: dict[int, list[Signal]] = {}  # by the number of the beat

    def wait(self, every: int = 1, of: int = 0) -> None:
        """Wait for the next beat, one in `every`, of call `of` and its neighbours."""
        number = self._number + 1
        number += (of // NEIGHBOURS - number) % every
        signal = Signal()
        self._awaited.setdefault(number, []).append(signal)
        signal.wait()

    def _run(self) -> None:
        while True:
            gevent.sleep(BEAT_S)
            self._number += 1
            for signal in self._awaited.pop(self._number, ()):
                signal.set()
