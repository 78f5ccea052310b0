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
from callfsm.fsm.machine import STATE_TIMER, Machine, Step, Turn, UnexpectedEvent
from callfsm.fsm.table import CancelTimer, Effect, Event, M, Policy, SetTimer
from callfsm.runtimes.simulated import SimulatedRuntime

F = TypeVar("F", bound=Effect)
Expected: TypeAlias = Effect | type[Effect]


class Scenario(Generic[M]):
    """One machine and one model. Verbs return the scenario, so that a spec is one sentence.

    `steps` and `effects` are those of the last verb, `history` holds every step so far.
    """

    def __init__(self, machine: Machine[M], model: M) -> None:
        self.machine = machine
        self.model = model
        self.history: list[Step] = []
        self.steps: list[Step] = []
        self.effects: list[Effect] = []

    @property
    def state(self) -> str:
        return self.model.state

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

    def _begin(self) -> None:
        self.steps, self.effects = [], []

    def _take(self, event: Event) -> None:
        source = self.state
        try:
            turn = self.machine.handle(self.model, event)
        except UnexpectedEvent as error:
            self._see_steps([Step(source, error.event, error.state, None, Policy.REJECT)])
            return
        self._see_steps(turn.steps)
        self.effects += [effect for effect in turn.effects if not _is_state_timer(effect)]

    def _see_steps(self, steps: Iterable[Step]) -> None:
        for step in steps:
            self.steps.append(step)
            self.history.append(step)

    def _refuse_rejected(self) -> None:
        __tracebackhide__ = True
        if any(step.policy is Policy.REJECT for step in self.steps):
            self._fail("this event is rejected")

    def _fail(self, what: str) -> NoReturn:
        __tracebackhide__ = True
        before = self.history[: len(self.history) - len(self.steps)]
        trace = [*(f"      {step}" for step in before), *(f"  >   {step}" for step in self.steps)]
        raise AssertionError("\n".join([f"{self.machine.table.name}: {what}", *trace]))


class Simulation(Scenario[M]):
    """A scenario run as an actor. Timers are carried out, so they are no longer effects."""

    def __init__(self, machine: Machine[M], model: M, runtime: SimulatedRuntime) -> None:
        super().__init__(machine, model)
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
        self.actor.start()

    def advance(self, seconds: float) -> Self:
        """Let time pass; then judge what the timers that fired led to."""
        self._begin()
        self.runtime.advance(seconds)
        self._raise_error()
        return self

    def _take(self, event: Event) -> None:
        self.actor.tell(event)
        self.runtime.settle()
        self._raise_error()

    def _perform(self, effect: Effect) -> None:
        self.effects.append(effect)

    def _observe(self, actor: Actor[Any], turn: Turn) -> None:
        self._see_steps(turn.steps)

    def _crashed(self, error: Exception) -> None:
        if isinstance(error, UnexpectedEvent):
            step = Step(error.state, error.event, error.state, None, Policy.REJECT)
            self._see_steps([step])
        else:
            self._error = error

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error


def given(machine: Machine[M], model: M, state: str | None = None) -> Scenario[M]:
    """A fresh model: started, or put straight into `state` (whose `enter` is then not run).

    Raises KeyError when the table has no such state.
    """
    scenario = Scenario(machine, model)
    if state is None:
        scenario.effects += machine.start(model).effects
    else:
        model.state = machine.table.state(state).name
    return scenario


def simulate(
    machine: Machine[M], model: M, runtime: SimulatedRuntime | None = None
) -> Simulation[M]:
    """A fresh model, started as an actor on `runtime`, or on one with a clock of its own."""
    return Simulation(machine, model, runtime if runtime is not None else SimulatedRuntime())


def _is_state_timer(effect: Effect) -> bool:
    return isinstance(effect, SetTimer | CancelTimer) and effect.name == STATE_TIMER


def _match(expected: Sequence[Expected], effects: Sequence[Effect]) -> bool:
    return len(expected) == len(effects) and all(
        isinstance(effect, want) if isinstance(want, type) else effect == want
        for want, effect in zip(expected, effects, strict=True)
    )


def _listed(effects: Iterable[Expected]) -> str:
    names = [e.__name__ if isinstance(e, type) else repr(e) for e in effects]
    return ", ".join(names) or "no effect"
