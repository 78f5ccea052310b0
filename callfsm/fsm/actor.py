"""An actor: one model, its machine, and a bounded mailbox that is handled one event at a time.

`tell` only puts an event in the mailbox and asks the runtime for a turn. In its turn the actor
takes one event, the machine answers with effects; timers go to the runtime, answers to whoever
asked, everything else to `perform`, which must not block. Nothing here knows threads, greenlets or
sockets; `runtimes/` does.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol

from callfsm.errors import CallfsmError
from callfsm.fsm.machine import Machine, Step, Turn
from callfsm.fsm.reply import Answer, Question, R, Reply
from callfsm.fsm.runtime import Runtime
from callfsm.fsm.table import CancelTimer, Effect, Event, M, Policy, SetTimer

__all__ = ["MAILBOX_CAPACITY", "REPLIES_RESERVE", "Actor", "MailboxFull", "Observer", "Runtime"]

MAILBOX_CAPACITY = 256  # events; one second of 20 ms frames is 50
REPLIES_RESERVE = 64  # room that `tell` has and `offer` has not: for answers amid a flood


class MailboxFull(CallfsmError):
    """An actor is told more than it can handle: its sender must wait or drop, and count it."""


@dataclass(frozen=True, slots=True, eq=False)
class TimedOut(Event):
    """A time-out on its way to the machine: void once its timer is set again or cancelled."""

    name: str
    event: Event


class Observer(Protocol):
    """Sees every turn of an actor: traces, coverage, metrics, the live view."""

    def __call__(self, actor: "Actor[Any]", turn: Turn) -> None: ...


class Actor(Generic[M]):
    """One model fed by one mailbox. `name` is unique in its runtime and appears in every log.

    When it fails, it is stopped and `crashed` is told why; when it comes to a final state, it is
    stopped and `ended` is called. `capacity` bounds what the world may leave in the mailbox. Who
    is told things by many others `goes_first`: it takes its turns before theirs, or it would fall
    behind them. Let there be one such actor in a runtime.
    """

    __slots__ = (
        "_capacity",
        "_crashed",
        "_ended",
        "_mailbox",
        "_observers",
        "_perform",
        "_postponed",
        "_runtime",
        "_timers",
        "_unanswered",
        "goes_first",
        "machine",
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
        ended: Callable[[], None] | None = None,
        observers: tuple[Observer, ...] = (),
        capacity: int = MAILBOX_CAPACITY,
        goes_first: bool = False,
    ) -> None:
        self.name = name
        self.model = model
        self.machine = machine
        self.stopped = False
        self.goes_first = goes_first
        self._runtime = runtime
        self._perform = perform
        self._crashed = crashed
        self._ended = ended
        self._observers = observers
        self._capacity = capacity
        self._mailbox: list[Event] = []  # lists: an empty deque takes 600 bytes, and most are empty
        self._postponed: list[Event] = []
        self._unanswered: list[Reply[Any]] = []  # to questions that were taken
        self._timers: dict[str, TimedOut] = {}  # what each timer last set tells, by its name

    def start(self) -> None:
        """Enter the initial state."""
        self._run(None)

    def restart(self, model: M) -> None:
        """Begin again with a fresh model. Whoever holds the actor still holds it."""
        self.stop()
        self.model = model
        self.stopped = False
        self.start()

    @property
    def waiting(self) -> int:
        """Events in the mailbox."""
        return len(self._mailbox) + len(self._postponed)

    @property
    def has_room(self) -> bool:
        """Whether the outside world may tell one more event."""
        return self.waiting < self._capacity

    def offer(self, event: Event) -> bool:
        """Tell an event of the outside world, which may send any number. False when as many wait,
        postponed or not, as the actor has capacity for: this one is not kept.
        """
        if not self.has_room:
            return False
        self.tell(event)
        return True

    def tell(self, event: Event) -> None:
        """Put `event` in the mailbox. A stopped actor takes nothing: it is a dead letter.

        Raises MailboxFull when even the room reserved for replies is used up: by replies, or by
        what the world sends, unless that is offered. A time-out always finds room: there is at most
        one for each timer.
        """
        if self.stopped:
            self._bury(event)
            return
        is_full = self.waiting >= self._capacity + REPLIES_RESERVE
        if is_full and not isinstance(event, TimedOut):
            raise MailboxFull(f"{self.name}: {self.waiting} events wait in the mailbox")
        self._mailbox.append(event)
        self._runtime.request_turn(self)

    def ask(self, question: Question[R]) -> Reply[R]:
        """Tell a question, and return at once with the box that its answer will be in.

        The reply fails when the actor ignores the question, or crashes or stops before it answers.
        """
        self.tell(question)
        return question.reply

    def take_turn(self) -> bool:
        """Handle one event (the runtime calls this). True when more wait."""
        if self.stopped or not self._mailbox:
            return False
        mail = self._mailbox.pop(0)
        if not isinstance(mail, TimedOut):
            self._handle(mail, mail)
        elif self._timers.get(mail.name) is mail:
            self._handle(mail, mail.event)
        return bool(self._mailbox) and not self.stopped

    def stop(self) -> None:
        """Forget the mailbox, the timers and the questions; nothing is handled any more."""
        self._stop(f"{self.name} has stopped")

    def _stop(self, why: str, error: Exception | None = None) -> None:
        self.stopped = True
        left = [*self._postponed, *self._mailbox]
        self._mailbox.clear()
        self._postponed.clear()
        self._timers.clear()
        self._runtime.cancel_timers(self)
        for reply in tuple(self._unanswered):
            reply.fail(why, error)
        for event in left:
            self._bury(event)

    def _bury(self, event: Event) -> None:
        if isinstance(event, TimedOut):
            return  # it is void with its timer
        self._runtime.undelivered(self, event)
        if isinstance(event, Question):
            event.reply.fail(f"{self.name} has stopped")

    def _run(self, event: Event | None) -> Sequence[Step]:
        """Handle an event, or enter the initial state on None. The steps, unless it is over."""
        machine, model = self.machine, self.model
        try:
            turn = machine.start(model) if event is None else machine.handle(model, event)
            for effect in turn.effects:
                self._carry_out(effect)
            for step in turn.steps:
                if isinstance(step.event, Question) and step.row is not None:
                    self._await_answer(step.event.reply)
            for observe in self._observers:
                observe(self, turn)
        except Exception as error:
            why = f"{self.name} crashed: {error}"
            self._stop(why, error)
            if isinstance(event, Question):
                event.reply.fail(why, error)
            self._crashed(error)
            return ()
        if machine.is_final(model):
            self.stop()
            if self._ended is not None:
                self._ended()
        return () if self.stopped else turn.steps

    def _await_answer(self, reply: Reply[Any]) -> None:
        """Remember the reply to a question that was taken, until it is done; the end fails it."""
        if self.stopped:  # by one of its own effects
            reply.fail(f"{self.name} has stopped")
        elif not reply.done:
            self._unanswered.append(reply)
            reply.then(self._unanswered.remove)

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case SetTimer(name, after_s, event):
                self._timers[name] = TimedOut(name, event)
                self._runtime.set_timer(self, name, after_s, self._timers[name])
            case CancelTimer(name):
                self._timers.pop(name, None)
                self._runtime.cancel_timer(self, name)
            case Answer(reply, value):
                reply.answer(value)
            case _:
                self._perform(effect)

    def _handle(self, mail: Event, event: Event) -> None:
        """Run `event`; keep what is postponed, and take it up again when the state changes."""
        for step in self._run(event):
            if step.policy is Policy.POSTPONE:
                self._postponed.append(mail if step.event is event else step.event)
            elif step.source != step.target:
                self._mailbox[:0] = self._postponed
                self._postponed.clear()
            elif step.policy is Policy.IGNORE and isinstance(step.event, Question):
                step.event.reply.fail(f"{self.name} ignored {type(step.event).__name__}")
