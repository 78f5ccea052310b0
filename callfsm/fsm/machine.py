"""Execute a table, on `transitions`.

One Machine serves any number of models: it holds no state of its own, so ten thousand calls share
one. `handle` takes a model and an event and returns a Turn: the effects in order, and the steps
that led to them. `transitions` chooses the row and moves the state; what it does not do well with
many models (queues, exceptions, time-outs) is left to the actor around it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic

import transitions

from callfsm.errors import CallfsmError
from callfsm.fsm.lint import check
from callfsm.fsm.table import (
    STAY,
    CancelTimer,
    Effect,
    Event,
    Kind,
    M,
    Policy,
    Raise,
    Row,
    SetTimer,
    State,
    Table,
)

STATE_TIMER = "(state)"  # the timer that a state's `after` sets; nobody's own has such a name
MAX_INTERNAL_STEPS = 32  # in one turn; more is a loop in the table


class UnexpectedEvent(CallfsmError):
    """An event came in a state where the table rejects it: a bug in whoever sent it."""

    def __init__(self, table: str, state: str, event: Event) -> None:
        self.table, self.state, self.event = table, state, event
        super().__init__(f"{table}: {type(event).__name__} is not expected in state '{state}'")


class EndlessTurn(CallfsmError):
    """Internal events kept raising each other."""


@dataclass(frozen=True, slots=True)
class Step:
    """One event handled: by a row, or by a policy (`row` is None)."""

    source: str
    event: Event
    target: str
    row: Row[Any, Any] | None
    policy: Policy | None = None

    def __str__(self) -> str:
        how = f" ({self.policy.value.removesuffix('e')}ed)" if self.policy else ""
        return f"{self.source} + {type(self.event).__name__} -> {self.target}{how}"


@dataclass(slots=True)
class Turn:
    """What one event led to, internal events included."""

    effects: list[Effect] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)


class Machine(Generic[M]):
    """A table made executable. Raises TableError when the table is wrong.

    `observers` see every step of every model, rejected ones too; they must be quick.
    """

    def __init__(self, table: Table[M]) -> None:
        check(table)
        self.table = table
        self.observers: list[Callable[[Step], None]] = []
        self._policies = table.policies()
        self._finals = {state.name for state in table.states if state.kind is Kind.FINAL}
        self._passing = {state.name for state in table.states if state.kind is Kind.PASSING}
        self._machine = transitions.Machine(
            model=None,
            states=[_native_state(state) for state in table.states],
            initial=table.initial,
            auto_transitions=False,
            send_event=True,
            queued=False,
        )
        for row in table.rows:
            self._machine.add_transition(
                trigger=row.event.__name__,
                source=list(row.sources),
                dest=None if row.target == STAY else row.target,
                conditions=[_native_guard(row)] if row.when is not None else None,
                before=[_native_action(row)],
            )
        self._triggers = {
            (source, row.event): self._machine.events[row.event.__name__].trigger
            for row in table.rows
            for source in row.sources
        }

    def is_final(self, model: M) -> bool:
        return model.state in self._finals

    def start(self, model: M) -> Turn:
        """Enter the initial state: its time-out and its `enter` action."""
        model.state = self.table.initial
        out: list[Effect] = []
        _enter(self.table.state(model.state), model, out)
        return self._finish(model, Turn(), out)

    def handle(self, model: M, event: Event) -> Turn:
        """Take `event` and every internal event it raises.

        A handler's exception passes through; the state is then the one before the failing row.
        Raises UnexpectedEvent where the table rejects, EndlessTurn when it runs in circles.
        """
        turn, out = Turn(), list[Effect]()
        turn.steps.append(self._step(model, event, out))
        return self._finish(model, turn, out)

    def _finish(self, model: M, turn: Turn, out: list[Effect]) -> Turn:
        """Sort the effects, running what they raise; `out` grows until nothing more is raised."""
        for effect in out:
            if not isinstance(effect, Raise):
                turn.effects.append(effect)
                continue
            if len(turn.steps) >= MAX_INTERNAL_STEPS:
                raise EndlessTurn(f"{self.table.name}: endless turn, last {turn.steps[-1]}")
            turn.steps.append(self._step(model, effect.event, out))
        if model.state in self._passing:
            raise EndlessTurn(f"{self.table.name}: rests in passing state '{model.state}'")
        return turn

    def _step(self, model: M, event: Event, out: list[Effect]) -> Step:
        step = self._choose(model, event, out)
        for observe in self.observers:
            observe(step)
        if step.policy is Policy.REJECT:
            raise UnexpectedEvent(self.table.name, step.source, event)
        return step

    def _choose(self, model: M, event: Event, out: list[Effect]) -> Step:
        """Fire the row that takes the event, or else find the policy."""
        source, kind = model.state, type(event)
        trigger = self._triggers.get((source, kind))
        if trigger is not None:
            fired: list[Row[Any, Any]] = []
            if trigger(model, event, out, fired):
                return Step(source, event, model.state, fired[0])
        return Step(source, event, source, None, self._policies.get((source, kind), Policy.REJECT))


def _enter(state: State[M], model: M, out: list[Effect]) -> None:
    if state.after is not None:
        out.append(SetTimer(STATE_TIMER, state.after.seconds_of(model), state.after.event))
    if state.enter is not None:
        out.extend(state.enter(model))


# `transitions` hands what `trigger` was given to every callback as `data.args`: the event, the list
# that effects go to, and the list that the row that is taken goes to.


def _native_state(state: State[Any]) -> transitions.State:
    def enter(data: Any) -> None:
        _, out, _ = data.args
        _enter(state, data.model, out)

    def leave(data: Any) -> None:
        _, out, _ = data.args
        if state.leave is not None:
            out.extend(state.leave(data.model))
        if state.after is not None and data.transition.dest != state.name:
            out.append(CancelTimer(STATE_TIMER))

    return transitions.State(
        state.name,
        on_enter=[enter] if state.after or state.enter else None,
        on_exit=[leave] if state.after or state.leave else None,
    )


def _native_guard(row: Row[Any, Any]) -> Any:
    def holds(data: Any) -> bool:
        return bool(row.when is None or row.when(data.model, data.args[0]))

    return holds


def _native_action(row: Row[Any, Any]) -> Any:
    def act(data: Any) -> None:
        event, out, fired = data.args
        fired.append(row)
        if row.do is not None:
            out.extend(row.do(data.model, event))

    return act
