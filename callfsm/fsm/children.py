"""What a supervisor can have as a child: an actor, or a supervisor with children of its own."""

from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, Protocol

from callfsm.fsm.actor import Actor, MailboxFull
from callfsm.fsm.supervision import Ended, Family
from callfsm.fsm.table import Event, M

if TYPE_CHECKING:
    from callfsm.fsm.supervisor import Supervisor


class Child(Protocol):
    """What a supervisor does with a child. It answers by telling Crashed and Ended."""

    def start(self) -> None:
        """Begin, or begin again, as if new."""

    def shut_down(self) -> None:
        """Come to an end soon."""

    def stop(self) -> None:
        """Be over at once."""


class ActorChild(Generic[M]):
    """An actor as a child of `parent`."""

    def __init__(
        self,
        actor: Actor[M],
        model: Callable[[], M],
        goodbye: Event | None,
        parent: Actor[Family],
        crashed: Callable[[Hashable, Exception], None],
    ) -> None:
        self._actor = actor
        self._model = model
        self._goodbye = goodbye
        self._parent = parent
        self._crashed = crashed

    def start(self) -> None:
        try:
            model = self._model()
        except Exception as error:
            self._crashed(self._actor.name, error)
        else:
            self._actor.restart(model)

    def shut_down(self) -> None:
        if self._goodbye is None:
            self._actor.stop()
        if self._actor.stopped:
            self._parent.tell(Ended(self._actor.name))
        elif self._goodbye is not None:
            with suppress(MailboxFull):  # then it is stopped when its time is over
                self._actor.tell(self._goodbye)

    def stop(self) -> None:
        self._actor.stop()


class Branch:
    """A supervisor as a child: `new` makes it and `build` fills it, at every start."""

    def __init__(
        self,
        new: Callable[[], "Supervisor"],
        build: Callable[["Supervisor"], None],
        crashed: Callable[[Hashable, Exception], None],
    ) -> None:
        self._new = new
        self._build = build
        self._crashed = crashed
        self._supervisor: Supervisor | None = None

    def start(self) -> None:
        supervisor = self._supervisor = self._new()
        try:
            self._build(supervisor)
        except Exception as error:
            supervisor.stop()
            self._crashed(supervisor.name, error)

    def shut_down(self) -> None:
        if self._supervisor is not None:
            self._supervisor.shut_down()

    def stop(self) -> None:
        if self._supervisor is not None:
            self._supervisor.stop()
