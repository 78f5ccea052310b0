"""A runtime without a world: time moves only when told to. For specs and models of whole systems.

By default it has a clock of its own. Under freezegun pass `clock=time.monotonic` and
`tick=freezer.tick`, and `advance` moves the frozen time from deadline to deadline. With a `seed`
the order in which actors with waiting events take turns is shuffled, whoever goes first, but always
the same.
"""

import random
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from callfsm.errors import CallfsmError
from callfsm.fsm.actor import Actor
from callfsm.fsm.dead_letters import DeadLetters
from callfsm.fsm.reply import R, Reply
from callfsm.fsm.runtime import TURNS_DO_NOT_WAIT
from callfsm.fsm.table import Event
from callfsm.fsm.timers import Timers


class SimulatedRuntime:
    """Runs actors on demand, deterministically."""

    def __init__(
        self,
        clock: Callable[[], float] | None = None,
        tick: Callable[[float], object] | None = None,
        seed: int | None = None,
    ) -> None:
        self._own_now_s = 0.0
        self._clock = clock if clock is not None else lambda: self._own_now_s
        self._tick = tick if tick is not None else self._tick_own
        self._random = random.Random(seed) if seed is not None else None
        self._ready: OrderedDict[Actor[Any], None] = OrderedDict()
        self._in_turn = False
        self.timers: Timers[Actor[Any]] = Timers()
        self.dead_letters = DeadLetters()

    def now_s(self) -> float:
        return self._clock()

    def request_turn(self, actor: Actor[Any]) -> None:
        self._ready.setdefault(actor)
        if actor.goes_first:
            self._ready.move_to_end(actor, last=False)

    def set_timer(self, actor: Actor[Any], name: str, after_s: float, event: Event) -> None:
        self.timers.set(actor, name, self.now_s() + after_s, event)

    def cancel_timer(self, actor: Actor[Any], name: str) -> None:
        self.timers.cancel(actor, name)

    def cancel_timers(self, actor: Actor[Any]) -> None:
        self.timers.cancel_all(actor)

    def undelivered(self, actor: Actor[Any], event: Event) -> None:
        self.dead_letters.add(actor, event)

    def settle(self) -> None:
        """Let every actor handle its mail, and what follows from it, while time stands still."""
        while self._ready:
            if self._random is not None:
                self._ready.move_to_end(self._random.choice(list(self._ready)), last=False)
            actor, _ = self._ready.popitem(last=False)
            self._in_turn = True
            try:
                has_more = actor.take_turn()
            finally:
                self._in_turn = False
            if has_more:
                self.request_turn(actor)

    def advance(self, seconds: float) -> None:
        """Settle, then let `seconds` pass, stopping at every timer on the way."""
        self.settle()
        end_s = self.now_s() + seconds
        while self._ring_next(end_s):
            pass
        self._tick(max(0.0, end_s - self.now_s()))

    def wait(self, reply: Reply[R], timeout_s: float) -> R:
        """The answer, after as little time as it takes; see `Actor.ask`.

        Raises NoAnswer after `timeout_s`, CallfsmError in an actor's turn, as on gevent.
        """
        if self._in_turn:
            raise CallfsmError(TURNS_DO_NOT_WAIT)
        self.settle()
        end_s = self.now_s() + timeout_s
        while not reply.done and self._ring_next(end_s):
            pass
        if not reply.done:
            self._tick(max(0.0, end_s - self.now_s()))
        return reply.value

    def _ring_next(self, end_s: float) -> bool:
        """Let time pass to the next timer and settle; False when none is due before the end."""
        due_s = self.timers.next_due_s()
        if due_s is None or due_s > end_s:
            return False
        self._tick(max(0.0, due_s - self.now_s()))
        # A frozen clock counts microseconds: what is due may look a hair in the future.
        for actor, event in self.timers.pop_due(max(due_s, self.now_s())):
            actor.tell(event)
        self.settle()
        return True

    def _tick_own(self, seconds: float) -> None:
        self._own_now_s += seconds
