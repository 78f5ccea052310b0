"""An actor: one model, its machine, and a bounded mailbox that is handled one event at a time.

`tell` only puts an event in the mailbox and asks the runtime for a turn. In its turn the actor
takes one event, the machine answers with effects; timers go to the runtime, everything else to
`perform`, which must not block. Nothing here knows threads, greenlets or sockets; `runtimes/` does.
"""

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, Protocol

from callfsm.errors import CallfsmError
from callfsm.fsm.machine import Machine, Turn
from callfsm.fsm.table import CancelTimer, Effect, Event, M, Policy, SetTimer

MAILBOX_CAPACITY = 256  # events; one second of 20 ms frames is 50
REPLIES_RESERVE = 64  # room kept for answers and time-outs when the world floods the mailbox


class MailboxFull(CallfsmError):
    """An actor is told more than it can handle: its sender must wait or drop, and count it."""


@dataclass(frozen=True, slots=True, eq=False)
class TimedOut(Event):
    """A time-out on its way to the machine: void once its timer is set again or cancelled."""

    name: str
    event: Event


class Runtime(Protocol):
    """Where actors run: a clock, timers, and turns."""

    def now_s(self) -> float:
        """Monotonic seconds."""

    def request_turn(self, actor: "Actor[Any]") -> None:
        """Call `actor.take_turn()` soon, and never two turns of one actor at once."""

    def set_timer(self, actor: "Actor[Any]", name: str, after_s: float, event: Event) -> None:
        """Tell `event` to the actor after this time; a timer of the same name is moved."""

    def cancel_timer(self, actor: "Actor[Any]", name: str) -> None: ...

    def cancel_timers(self, actor: "Actor[Any]") -> None: ...


class Observer(Protocol):
    """Sees every turn of an actor: traces, coverage, metrics, the live view."""

    def __call__(self, actor: "Actor[Any]", turn: Turn) -> None: ...


class Actor(Generic[M]):
    """One model fed by one mailbox. `name` is unique in its runtime and appears in every log."""

    __slots__ = (
        "_crashed",
        "_machine",
        "_mailbox",
        "_observers",
        "_perform",
        "_postponed",
        "_runtime",
        "_timers",
        "model",
        "name",
        "stopped",
    )

    def __init__(
        self,
        name: Hashable,
        machine: Machine[M],
        model: M,
        *,
        runtime: Runtime,
        perform: Callable[[Effect], None],
        crashed: Callable[[Exception], None],
        observers: tuple[Observer, ...] = (),
    ) -> None:
        self.name = name
        self.model = model
        self.stopped = False
        self._machine = machine
        self._runtime = runtime
        self._perform = perform
        self._crashed = crashed
        self._observers = observers
        self._mailbox: deque[Event] = deque()
        self._postponed: deque[Event] = deque()
        self._timers: dict[str, TimedOut] = {}  # what each timer last set tells, by its name

    def start(self) -> None:
        """Enter the initial state."""
        self._run(None)

    @property
    def waiting(self) -> int:
        """Events in the mailbox."""
        return len(self._mailbox) + len(self._postponed)

    @property
    def has_room(self) -> bool:
        """Whether the outside world may tell one more event."""
        return self.waiting < MAILBOX_CAPACITY

    def offer(self, event: Event) -> bool:
        """Tell an event of the outside world; False when the mailbox is full."""
        if not self.has_room:
            return False
        self.tell(event)
        return True

    def tell(self, event: Event) -> None:
        """Put `event` in the mailbox. A stopped actor takes nothing.

        Raises MailboxFull when even the room reserved for replies is used up.
        """
        if self.stopped:
            return
        if self.waiting >= MAILBOX_CAPACITY + REPLIES_RESERVE:
            raise MailboxFull(f"{self.name}: {self.waiting} events wait in the mailbox")
        self._mailbox.append(event)
        self._runtime.request_turn(self)

    def take_turn(self) -> bool:
        """Handle one event (the runtime calls this). True when more wait."""
        if not self.stopped and self._mailbox:
            mail = self._mailbox.popleft()
            if not isinstance(mail, TimedOut):
                self._handle(mail, mail)
            elif self._timers.get(mail.name) is mail:
                self._handle(mail, mail.event)
        return bool(self._mailbox) and not self.stopped

    def stop(self) -> None:
        """Forget the mailbox and the timers; nothing is handled any more."""
        self.stopped = True
        self._mailbox.clear()
        self._postponed.clear()
        self._timers.clear()
        self._runtime.cancel_timers(self)

    def _run(self, event: Event | None) -> Turn | None:
        """Handle an event, or enter the initial state on None. None when it crashed."""
        machine, model = self._machine, self.model
        try:
            turn = machine.start(model) if event is None else machine.handle(model, event)
            for effect in turn.effects:
                self._carry_out(effect)
            for observe in self._observers:
                observe(self, turn)
        except Exception as error:
            self.stop()
            self._crashed(error)
            return None
        if machine.is_final(model):
            self.stop()
        return turn

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case SetTimer(name, after_s, event):
                self._timers[name] = TimedOut(name, event)
                self._runtime.set_timer(self, name, after_s, self._timers[name])
            case CancelTimer(name):
                self._timers.pop(name, None)
                self._runtime.cancel_timer(self, name)
            case _:
                self._perform(effect)

    def _handle(self, mail: Event, event: Event) -> None:
        """Run `event`; keep what is postponed, and take it up again when the state changes."""
        turn = self._run(event)
        for step in turn.steps if turn is not None else ():
            if step.policy is Policy.POSTPONE:
                self._postponed.append(mail if step.event is event else step.event)
            elif step.source != step.target:
                self._mailbox.extendleft(reversed(self._postponed))
                self._postponed.clear()
