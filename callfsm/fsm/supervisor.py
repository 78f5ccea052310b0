"""Supervisors: they start actors, start those that crash again, and end all of them in order.

What a supervisor does when is `supervision`'s table; here are the children themselves. A child is
an actor, or a supervisor with children of its own: then whatever it gives up is a crash to the one
above, who starts the whole branch again. Children end before their parents, the youngest first.
"""

import sys
from collections.abc import Callable, Hashable

from callfsm.errors import CallfsmError
from callfsm.fsm.actor import MAILBOX_CAPACITY, Actor, Observer
from callfsm.fsm.children import ActorChild, Branch, Child
from callfsm.fsm.machine import Machine
from callfsm.fsm.runtime import Runtime
from callfsm.fsm.supervision import (
    Crashed,
    Ended,
    Escalate,
    Family,
    Forget,
    Restart,
    SayGoodbye,
    ShutDown,
    Started,
    Stop,
    Strategy,
    supervision_machine,
)
from callfsm.fsm.table import Effect, Event, M

__all__ = ["Escalated", "Strategy", "Supervisor"]


class Escalated(CallfsmError):
    """A child crashed more often than its supervisor's strategy bears; `__cause__` is why."""

    def __init__(self, supervisor: Hashable, child: Hashable, crashes: int) -> None:
        self.supervisor, self.child, self.crashes = supervisor, child, crashes
        super().__init__(f"{supervisor}: {child} crashed {crashes} times, which is too often")


class Supervisor:
    """Runs children on `runtime`. `escalated` is told when it has given up and all are stopped;
    `ended` is called when `shut_down` is complete.

    A child is forgotten when it comes to its final state; until then its name is taken.
    """

    def __init__(
        self,
        name: Hashable,
        *,
        runtime: Runtime,
        escalated: Callable[[Exception], None],
        ended: Callable[[], None] = lambda: None,
        strategy: Strategy | None = None,
    ) -> None:
        self.name = name
        self._runtime = runtime
        self._escalated = escalated
        self._ended = ended
        self._strategy = strategy if strategy is not None else Strategy()
        self._children: dict[Hashable, Child] = {}
        self._closing = False
        self._actor = Actor(
            name,
            supervision_machine,
            Family(self._strategy),
            runtime=runtime,
            perform=self._perform,
            crashed=self._fail,
            ended=self._end,
            capacity=sys.maxsize,  # its children bound it: one event of each at a time
        )
        self._actor.start()

    @property
    def children(self) -> tuple[Hashable, ...]:
        """The names of those that have not ended, the oldest first."""
        return tuple(self._children)

    def spawn(
        self,
        name: Hashable,
        machine: Machine[M],
        model: Callable[[], M],
        *,
        perform: Callable[[Effect], None],
        goodbye: Event | None = None,
        observers: tuple[Observer, ...] = (),
        capacity: int = MAILBOX_CAPACITY,
    ) -> Actor[M]:
        """Start an actor on a model that `model` makes, now and after every crash.

        The actor stays the same one when it starts again, so whoever has it may keep it. At the
        end it is told `goodbye` and given time to come to a final state; without one it is stopped.
        Raises CallfsmError when a child has this name, or the supervisor shuts down or is over.
        """
        actor = Actor(
            name,
            machine,
            model(),
            runtime=self._runtime,
            perform=perform,
            crashed=lambda error: self._tell_crash(name, error),
            ended=lambda: self._actor.tell(Ended(name)),
            observers=observers,
            capacity=capacity,
        )
        self._adopt(name, ActorChild(actor, model, goodbye, self._actor, self._tell_crash))
        actor.start()
        return actor

    def supervise(
        self,
        name: Hashable,
        build: Callable[["Supervisor"], None],
        strategy: Strategy | None = None,
    ) -> None:
        """Start a supervisor below this one. `build` gives it its children, at every start.

        Raises CallfsmError as `spawn` does.
        """
        branch = Branch(self._below(name, strategy), build, self._tell_crash)
        self._adopt(name, branch)
        branch.start()

    def shut_down(self) -> None:
        """Let the children end one after the other, the youngest first, then call `ended`."""
        if not self._closing:
            self._closing = True
            self._actor.tell(ShutDown())

    def stop(self) -> None:
        """Stop every child at once, the youngest first, and be over. Nobody is told."""
        self._closing = True
        self._actor.stop()
        for name in reversed(self.children):
            self._children.pop(name).stop()

    def _adopt(self, name: Hashable, child: Child) -> None:
        if self._closing:
            raise CallfsmError(f"{self.name}: {name} comes too late, the end has begun")
        if name in self._children:
            raise CallfsmError(f"{self.name} has a child named {name} already")
        self._children[name] = child
        self._actor.tell(Started(name))

    def _below(self, name: Hashable, strategy: Strategy | None) -> Callable[[], "Supervisor"]:
        return lambda: Supervisor(
            name,
            runtime=self._runtime,
            escalated=lambda error: self._tell_crash(name, error),
            ended=lambda: self._actor.tell(Ended(name)),
            strategy=strategy,
        )

    def _tell_crash(self, name: Hashable, error: Exception) -> None:
        self._actor.tell(Crashed(name, error, self._runtime.now_s()))

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Restart(name):
                self._children[name].start()
            case SayGoodbye(name):
                self._children[name].shut_down()
            case Stop(name):
                self._children[name].stop()
            case Forget(name):
                del self._children[name]
            case Escalate(name, error, crashes):
                too_much = Escalated(self.name, name, crashes)
                too_much.__cause__ = error
                self._fail(too_much)

    def _fail(self, error: Exception) -> None:
        self.stop()
        self._escalated(error)

    def _end(self) -> None:
        if self._actor.model.state == "gone":
            self._ended()
