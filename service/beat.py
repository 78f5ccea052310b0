"""The hub's beat: what comes from many calls in small pieces is read together.

A frame of one call costs little, but to wake for it costs several times as much on cores whose
caches inference has filled. So readers wait for the beat, and one waking serves all of them. The
beat also tells how late the hub is, for which every socket and every call waits: on a healthy
server a few milliseconds at most, whatever the contexts do; more means that something blocks it.
"""

import time

import gevent
from gevent.event import Event as Signal

from service.background import Background
from service.metrics import Metrics

BEAT_S = 0.02  # as often as a frame comes


class Beat(Background):
    """Wakes who waits, and feeds `callfsm_hub_late_seconds`, from `start` to `stop`."""

    def __init__(self, metrics: Metrics) -> None:
        super().__init__(self._run)
        self._late_s = metrics.hub_late_s
        self._number = 0
        self._awaited: dict[int, Signal] = {}  # by the number of the beat

    def wait(self, every: int = 1) -> None:
        """Wait for the next beat whose number is a multiple of `every`: with all who do."""
        number = (self._number // every + 1) * every
        self._awaited.setdefault(number, Signal()).wait()

    def _run(self) -> None:
        while True:
            due_s = time.monotonic() + BEAT_S
            gevent.sleep(BEAT_S)
            self._late_s.observe(max(0.0, time.monotonic() - due_s))
            self._number += 1
            if self._number in self._awaited:
                self._awaited.pop(self._number).set()
