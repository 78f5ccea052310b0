"""Which facts of a table were shown to hold: its rows, its guards' outcomes, its policies.

A row is one fact per source state, a guard is two (it was true, it was false) per row and state,
and so is every state x event pair that has a policy.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from callfsm.fsm.machine import Machine, Step
from callfsm.fsm.table import Event, Policy, Row, Table

What = Literal["rows", "guard outcomes", "policy pairs"]
KINDS: tuple[What, ...] = ("rows", "guard outcomes", "policy pairs")


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that a table says of a state and an event, and that a spec can show."""

    what: What
    state: str
    event: type[Event]
    row: Row[Any, Any] | None = None
    outcome: bool | Policy | None = None

    def __str__(self) -> str:
        pair = f"{self.state} + {self.event.__name__}"
        match self.outcome:
            case Policy(value=policy):
                return f"{pair}: never left to the policy {policy}"
            case bool(outcome):
                return f"{pair}: the guard of '{self.row}' is never {outcome}"
            case _:
                return f"{pair}: the row '{self.row}' is never taken"


class Coverage:
    """Collects the facts of one machine's table that its steps show."""

    def __init__(self, machine: Machine[Any]) -> None:
        self.machine = machine
        self.facts = tuple(_facts_of(machine.table))
        self._shown: set[Fact] = set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Collect from every model of the machine meanwhile."""
        self.machine.observers.append(self.see)
        try:
            yield
        finally:
            self.machine.observers.remove(self.see)

    def see(self, step: Step) -> None:
        """Note what one step shows."""
        self._shown.update(_shown_by(self.machine.table, step))

    @property
    def shown_numbers(self) -> list[int]:
        """Which of `facts` were shown, by index: what another process can be told."""
        return [number for number, fact in enumerate(self.facts) if fact in self._shown]

    def add_numbers(self, numbers: Iterable[int]) -> None:
        """Add what another process found, as its `shown_numbers`."""
        self._shown.update(self.facts[number] for number in numbers)

    @property
    def name(self) -> str:
        return self.machine.table.name

    @property
    def percent(self) -> float:
        """How much of all the table says was shown."""
        return 100.0 * (1.0 - len(self.missing) / max(1, len(self.facts)))

    @property
    def missing(self) -> tuple[Fact, ...]:
        """The facts that nothing has shown, in the order of the table."""
        return tuple(fact for fact in self.facts if fact not in self._shown)

    def __str__(self) -> str:
        missing = self.missing
        counts = []
        for what in KINDS:
            facts = sum(fact.what == what for fact in self.facts)
            shown = facts - sum(fact.what == what for fact in missing)
            counts.append(f"{shown} of {facts} {what}")
        return f"{self.name}: {', '.join(counts)}"


def _facts_of(table: Table[Any]) -> Iterator[Fact]:
    for row in table.rows:
        for state in row.sources:
            yield Fact("rows", state, row.event, row)
            if row.when is not None:
                yield Fact("guard outcomes", state, row.event, row, True)
                yield Fact("guard outcomes", state, row.event, row, False)
    for (state, event), policy in table.policies().items():
        yield Fact("policy pairs", state, event, outcome=policy)


def _shown_by(table: Table[Any], step: Step) -> Iterator[Fact]:
    """The guards tried in vain, then the row or the policy that took the event."""
    state, event = step.source, type(step.event)
    for row in table.rows_of(state, event):
        is_taken = row is step.row
        if row.when is not None:
            yield Fact("guard outcomes", state, event, row, is_taken)
        if is_taken:
            yield Fact("rows", state, event, row)
            return
    yield Fact("policy pairs", state, event, outcome=step.policy)
