"""Specs that read as sentences: given a machine in a state, when an event comes, then this.

`given` judges one machine alone: nothing runs, time does not exist, timers are effects like others.
`simulate` runs the same machine as an actor in simulated time: `advance` lets time pass and fires
timers, postponed events come back, and only the effects that the world must carry out are left.

    given(door, Door()).after(Closed()).when(Knocked()).then("closed", AskWho())
    simulate(door, Door()).after(Opened()).advance(30).then("closed", Beep())
"""

from collections.abc import Iterable, Sequence
from typing import Any, Generic, NoReturn, Self, TypeAlias, TypeVar

from callfsm.fsm.actor import Actor
from callfsm.fsm.machine import Machine, Step, Turn, UnexpectedEvent
from callfsm.fsm.table import Effect, Event, M, Policy
from callfsm.runtimes.simulated import SimulatedRuntime
from callfsm.testing.trace import asked_for, sentences

F = TypeVar("F", bound=Effect)
Expected: TypeAlias = Effect | type[Effect]


class Scenario(Generic[M]):
    """One machine and one model. Verbs return the scenario, so that a spec is one sentence.

    `steps` and `effects` are those of the last verb; a failure tells the whole story so far.
    """

    def __init__(self, machine: Machine[M], model: M, state: str | None = None) -> None:
        self.machine = machine
        self.model = model
        self.effects: list[Effect] = []
        self._story: list[Turn | str] = []
        self._last = 0  # where the last verb begins in it
        if state is None:
            self._story.append(f"it started in {machine.table.initial}")
            self._start()
        else:
            model.state = machine.table.state(state).name
            self._story.append(f"it was put in {state}")

    @property
    def state(self) -> str:
        return self.model.state

    @property
    def steps(self) -> list[Step]:
        """The events that the last verb led to, internal ones included, each with its outcome."""
        turns = (turn for turn in self._story[self._last :] if isinstance(turn, Turn))
        return [step for turn in turns for step in turn.steps]

    def after(self, *events: Event) -> Self:
        """These came before; AssertionError when one is rejected."""
        __tracebackhide__ = True
        for event in events:
            self.when(event)
            self._refuse_rejected()
        return self

    def when(self, event: Event) -> Self:
        """This event comes: what `then` judges."""
        self._begin()
        self._take(event)
        return self

    def then(self, state: str, *effects: Expected) -> Self:
        """The model is in `state`, and exactly these effects were asked for, in this order.

        An effect that does not compare (it holds an array) is given by its type; see `the`. The
        timer of a state's own time-out is not listed: the state declares it.
        """
        __tracebackhide__ = True
        self._refuse_rejected()
        if self.state != state:
            self._fail(f"expected state '{state}', found '{self.state}'")
        if not _match(effects, self.effects):
            self._fail(f"expected {_listed(effects)}, found {_listed(self.effects)}")
        return self

    def then_policy(self, policy: Policy) -> Self:
        """No row took the event: it was ignored, postponed or rejected."""
        __tracebackhide__ = True
        found = [step.policy for step in self.steps]
        if found != [policy]:
            self._fail(f"expected the policy {policy.value}")
        return self

    def the(self, kind: type[F]) -> F:
        """The one effect of this type."""
        __tracebackhide__ = True
        found = [effect for effect in self.effects if isinstance(effect, kind)]
        if len(found) != 1:
            self._fail(f"expected one {kind.__name__}, found {_listed(found)}")
        return found[0]

    def _start(self) -> None:
        turn = self.machine.start(self.model)
        self._story.append(turn)
        self.effects += asked_for(turn)

    def _begin(self) -> None:
        self._last = len(self._story)
        self.effects = []

    def _take(self, event: Event) -> None:
        source = self.state
        try:
            turn = self.machine.handle(self.model, event)
        except UnexpectedEvent as error:
            self._story.append(_rejected(source, error))
            return
        self._story.append(turn)
        self.effects += asked_for(turn)

    def _refuse_rejected(self) -> None:
        __tracebackhide__ = True
        if any(step.policy is Policy.REJECT for step in self.steps):
            self._fail("this event is rejected")

    def _fail(self, what: str) -> NoReturn:
        __tracebackhide__ = True
        lines = [f"{self.machine.table.name}: {what}"]
        for index, part in enumerate(self._story):
            mark = ">" if index >= self._last else " "
            told = [part] if isinstance(part, str) else sentences(part)
            lines += (f"  {mark} {sentence}" for sentence in told)
        raise AssertionError("\n".join(lines))


class Simulation(Scenario[M]):
    """A scenario run as an actor. Timers are carried out, so they are no longer effects."""

    def __init__(self, machine: Machine[M], model: M, runtime: SimulatedRuntime) -> None:
        self.runtime = runtime
        self._error: Exception | None = None
        self.actor = Actor(
            machine.table.name,
            machine,
            model,
            runtime=runtime,
            perform=self._perform,
            crashed=self._crashed,
            observers=(self._observe,),
        )
        super().__init__(machine, model)

    def advance(self, seconds: float) -> Self:
        """Let time pass; then judge what the timers that fired led to."""
        self._begin()
        self._story.append(f"{seconds:g} s passed")
        self.runtime.advance(seconds)
        self._raise_error()
        return self

    def _start(self) -> None:
        __tracebackhide__ = True
        self.actor.start()
        self._raise_error()
        self._refuse_rejected()

    def _take(self, event: Event) -> None:
        self.actor.tell(event)
        self.runtime.settle()
        self._raise_error()

    def _perform(self, effect: Effect) -> None:
        self.effects.append(effect)

    def _observe(self, actor: Actor[Any], turn: Turn) -> None:
        self._story.append(turn)

    def _crashed(self, error: Exception) -> None:
        if isinstance(error, UnexpectedEvent):
            self._story.append(_rejected(error.state, error))
        else:
            self._error = error

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error


def given(machine: Machine[M], model: M, state: str | None = None) -> Scenario[M]:
    """A fresh model: started, or put straight into `state` (whose `enter` is then not run).

    Raises KeyError when the table has no such state.
    """
    return Scenario(machine, model, state)


def simulate(
    machine: Machine[M], model: M, runtime: SimulatedRuntime | None = None
) -> Simulation[M]:
    """A fresh model, started as an actor on `runtime`, or on one with a clock of its own."""
    return Simulation(machine, model, runtime if runtime is not None else SimulatedRuntime())


def _rejected(source: str, error: UnexpectedEvent) -> Turn:
    return Turn(steps=[Step(source, error.event, error.state, None, Policy.REJECT)])


def _match(expected: Sequence[Expected], effects: Sequence[Effect]) -> bool:
    return len(expected) == len(effects) and all(
        isinstance(effect, want) if isinstance(want, type) else effect == want
        for want, effect in zip(expected, effects, strict=True)
    )


def _listed(effects: Iterable[Expected]) -> str:
    names = [e.__name__ if isinstance(e, type) else repr(e) for e in effects]
    return ", ".join(names) or "no effect"
