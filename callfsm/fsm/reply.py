"""Questions: events that want an answer, which comes when it comes. Nothing here waits.

A handler answers by an effect, now or in any later turn. A reply is a box for the one answer; how
to wait for it is the runtime's business: `GeventRuntime.wait` blocks a greenlet meanwhile,
`SimulatedRuntime.wait` lets simulated time pass. An actor that asks another has `then` tell it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from callfsm.errors import CallfsmError
from callfsm.fsm.table import Effect, Event

log = logging.getLogger(__name__)

R = TypeVar("R")


class NoAnswer(CallfsmError):
    """A question was not answered, or not yet; `__cause__` is the crash, if that was why."""


class Reply(Generic[R]):
    """A box for one answer. The first answer or failure counts, what comes later does not."""

    __slots__ = ("_error", "_listeners", "_values", "done")

    def __init__(self) -> None:
        self.done = False
        self._values: tuple[R, ...] = ()
        self._error = NoAnswer("there is no answer yet")
        self._listeners: tuple[Callable[[Reply[R]], None], ...] = ()

    @property
    def value(self) -> R:
        """The answer. Raises NoAnswer when there is none."""
        if not self._values:
            raise self._error
        return self._values[0]

    @property
    def failed(self) -> bool:
        """Whether it is certain that no answer comes."""
        return self.done and not self._values

    def then(self, listen: Callable[["Reply[R]"], None]) -> None:
        """Call `listen` once this is answered or failed, at once if it is.

        It is called in the turn of whoever answers, who does not pay for its errors: they are
        logged.
        """
        if self.done:
            listen(self)
        else:
            self._listeners += (listen,)

    def answer(self, value: R) -> None:
        if not self.done:
            self._values = (value,)
            self._finish()

    def fail(self, why: str, cause: Exception | None = None) -> None:
        """Say that no answer will come."""
        if not self.done:
            self._error = NoAnswer(why)
            self._error.__cause__ = cause
            self._finish()

    def _finish(self) -> None:
        self.done = True
        listeners, self._listeners = self._listeners, ()
        for listen in listeners:
            try:
                listen(self)
            except Exception:
                log.exception("%s failed when the reply came", listen)


@dataclass(frozen=True)
class Answer(Effect, Generic[R]):
    """Put `value` in `reply`; the actor carries this out itself."""

    reply: Reply[R]
    value: R


@dataclass(frozen=True, slots=True)
class Question(Event, Generic[R]):
    """Base of events that are asked: `class Price(Question[int])`, a frozen dataclass as ever.

    Two equal questions are equal whoever asked them: the reply is not compared.
    """

    reply: Reply[R] = field(default_factory=Reply, kw_only=True, compare=False, repr=False)

    def answer(self, value: R) -> Answer[R]:
        """The effect that answers this."""
        return Answer(self.reply, value)
