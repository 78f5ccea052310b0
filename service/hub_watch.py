"""How late the hub is: every socket and every call waits for it.

A greenlet sleeps and notes by how much it woke up too late. On a healthy server that is a few
milliseconds at most, whatever the contexts do; more means that something blocks the hub.
"""

import time

import gevent

from service.background import Background
from service.metrics import Metrics

EVERY_S = 0.13  # rarely enough to cost nothing, and out of step with the beat


class HubWatch(Background):
    """Feeds `callfsm_hub_late_seconds` from `start` to `stop`."""

    def __init__(self, metrics: Metrics) -> None:
        super().__init__(self._watch)
        self._late_s = metrics.hub_late_s

    def _watch(self) -> None:
        while True:
            due_s = time.monotonic() + EVERY_S
            gevent.sleep(EVERY_S)
            self._late_s.observe(max(0.0, time.monotonic() - due_s))
