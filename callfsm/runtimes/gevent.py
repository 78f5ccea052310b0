"""The production runtime: actors take their turns in one greenlet, between the hub's rounds.

One dispatcher greenlet gives turns to every actor that has mail; so no two turns overlap, a call
costs no greenlet of its own, and no lock is needed. It lets the hub run at least every
`SLICE_S` so that sockets are never kept waiting. All timers share one libev timer, armed for the
earliest.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Any

import gevent
from gevent.event import Event as Signal

from callfsm.errors import CallfsmError
from callfsm.fsm.actor import Actor
from callfsm.fsm.dead_letters import DeadLetters
from callfsm.fsm.reply import R, Reply
from callfsm.fsm.runtime import TURNS_DO_NOT_WAIT
from callfsm.fsm.table import Event
from callfsm.fsm.timers import Timers

log = logging.getLogger(__name__)

SLICE_S = 0.002  # of turns before the hub runs again
MOMENT_S = 1e-9  # over when libev looks; what is left of a longer one it rounds up to 1 ms


def let_hub_look() -> None:
    """Let the hub look at its sockets and timers now: after `gevent.sleep(0)` it may run fifty
    callbacks first."""
    gevent.sleep(MOMENT_S)


class GeventRuntime:
    """Runs actors on the current hub. `start` before the first `tell`, `stop` at the end."""

    def __init__(self) -> None:
        self._ready: deque[Actor[Any]] = deque()
        self._queued: set[Actor[Any]] = set()
        self._wake = Signal()
        self._timers: Timers[Actor[Any]] = Timers()
        self._alarm = gevent.get_hub().loop.timer(0)
        self._armed_for_s: float | None = None
        self._dispatcher: gevent.Greenlet[[], None] | None = None
        self.dead_letters = DeadLetters()

    def start(self) -> None:
        self._dispatcher = gevent.spawn(self._dispatch)

    def stop(self) -> None:
        """Stop giving turns; what still waits is not handled."""
        self._alarm.stop()
        self._ready.clear()
        self._queued.clear()
        if self._dispatcher is not None:
            self._dispatcher.kill()

    def now_s(self) -> float:
        return time.monotonic()

    def request_turn(self, actor: Actor[Any]) -> None:
        if actor not in self._queued:
            self._queued.add(actor)
            (self._ready.appendleft if actor.goes_first else self._ready.append)(actor)
            self._wake.set()

    def set_timer(self, actor: Actor[Any], name: str, after_s: float, event: Event) -> None:
        self._timers.set(actor, name, self.now_s() + after_s, event)
        self._arm()

    def cancel_timer(self, actor: Actor[Any], name: str) -> None:
        self._timers.cancel(actor, name)

    def cancel_timers(self, actor: Actor[Any]) -> None:
        self._timers.cancel_all(actor)

    def undelivered(self, actor: Actor[Any], event: Event) -> None:
        self.dead_letters.add(actor, event)

    def wait(self, reply: Reply[R], timeout_s: float) -> R:
        """Block this greenlet, and no other, until the answer comes; see `Actor.ask`.

        Raises NoAnswer after `timeout_s`, CallfsmError in an actor's turn, which must not block.
        """
        if gevent.getcurrent() is self._dispatcher:
            raise CallfsmError(TURNS_DO_NOT_WAIT)
        answered = Signal()
        reply.then(lambda _: answered.set())
        answered.wait(timeout_s)
        return reply.value

    def _dispatch(self) -> None:
        while True:
            self._wake.wait()
            slice_end_s = time.monotonic() + SLICE_S
            while self._ready:
                actor = self._ready.popleft()
                self._queued.discard(actor)
                try:
                    if actor.take_turn():
                        self.request_turn(actor)
                except Exception:
                    log.exception("%s: what follows a crash has crashed too", actor.name)
                if time.monotonic() >= slice_end_s:
                    break
            if self._ready:
                let_hub_look()
            else:
                self._wake.clear()

    def _arm(self) -> None:
        """Arm the alarm for the earliest timer, unless it is armed for that or earlier already."""
        due_s = self._timers.next_due_s()
        if due_s is None or (self._armed_for_s is not None and self._armed_for_s <= due_s):
            return
        self._alarm.stop()
        self._armed_for_s = due_s
        self._alarm = gevent.get_hub().loop.timer(max(0.0, due_s - self.now_s()))
        self._alarm.start(self._ring)

    def _ring(self) -> None:
        self._armed_for_s = None
        for actor, event in self._timers.pop_due(self.now_s()):
            actor.tell(event)
        self._arm()
