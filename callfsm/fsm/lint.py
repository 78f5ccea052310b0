"""Refuse a wrong table when it is defined, not when it runs; every message names the row."""

from collections.abc import Iterator
from itertools import product
from typing import Any

from callfsm.errors import CallfsmError
from callfsm.fsm.table import STAY, Event, Kind, Table


class TableError(CallfsmError):
    """A table that cannot be right. `problems` holds one sentence each."""

    def __init__(self, table: str, problems: list[str]) -> None:
        self.table = table
        self.problems = problems
        super().__init__(f"table '{table}': " + "; ".join(problems))


def check(table: Table[Any]) -> None:
    """Raise TableError unless the table is complete, reachable and without contradiction."""
    problems = [*_unknown_names(table)]
    if not problems:
        problems = [
            *_states(table),
            *_shadowed_rows(table),
            *_unreachable(table),
            *_open_pairs(table),
        ]
    if problems:
        raise TableError(table.name, problems)


def _unknown_names(table: Table[Any]) -> Iterator[str]:
    names = [state.name for state in table.states]
    for name in sorted({n for n in names if names.count(n) > 1}):
        yield f"state '{name}' is declared twice"
    if table.initial not in names:
        yield f"initial state '{table.initial}' is not declared"
    for row in table.rows:
        for name in (*row.sources, row.target):
            if name not in names and name != STAY:
                yield f"row '{row}' names the unknown state '{name}'"
    for rest in table.rest:
        for name in rest.sources:
            if name not in names:
                yield f"policy '{rest.note}' names the unknown state '{name}'"
    by_name: dict[str, type[Event]] = {}
    for event in table.events:
        if by_name.setdefault(event.__name__, event) is not event:
            yield f"two events are called '{event.__name__}'"


def _states(table: Table[Any]) -> Iterator[str]:
    for state in table.states:
        rows = [row for row in table.rows if state.name in row.sources]
        if state.kind is Kind.FINAL and rows:
            yield f"final state '{state.name}' has the row '{rows[0]}'"
        if state.kind is Kind.PASSING and not any(row.event in table.internal for row in rows):
            yield f"passing state '{state.name}' has no row for an internal event"
        waits = state.kind is Kind.WAITING
        if waits and state.after is None and not state.waits_forever:
            yield f"state '{state.name}' waits without a time-out; say `after` or `waits_forever`"


def _shadowed_rows(table: Table[Any]) -> Iterator[str]:
    for state, event in product(table.states, table.events):
        rows = list(table.rows_of(state.name, event))
        for row in rows[:-1]:
            if row.when is None:
                yield f"in '{state.name}' the unguarded row '{row}' hides the rows after it"


def _unreachable(table: Table[Any]) -> Iterator[str]:
    edges = {
        (source, source if row.target == STAY else row.target)
        for row in table.rows
        for source in row.sources
    }
    reached = _closure({table.initial}, edges)
    for state in table.states:
        if state.name not in reached:
            yield f"state '{state.name}' cannot be reached from '{table.initial}'"
    final = {state.name for state in table.states if state.kind is Kind.FINAL}
    if final:
        ends = _closure(final, {(target, source) for source, target in edges})
        for state in table.states:
            if state.name not in ends:
                yield f"no path leads from state '{state.name}' to a final state"


def _closure(start: set[str], edges: set[tuple[str, str]]) -> set[str]:
    reached = set(start)
    while more := {b for a, b in edges if a in reached} - reached:
        reached |= more
    return reached


def _open_pairs(table: Table[Any]) -> Iterator[str]:
    policies = table.policies()
    for state, event in product(table.states, table.events):
        pair = f"'{state.name}' + {event.__name__}"
        rows = list(table.rows_of(state.name, event))
        closed = bool(rows) and rows[-1].when is None
        has_policy = (state.name, event) in policies
        if closed and has_policy:
            yield f"{pair} has a row that always applies and a policy"
        if not closed and not has_policy:
            yield f"{pair} has neither an unguarded row nor a policy"
    counted = [(s, e) for rest in table.rest for s in rest.sources for e in rest.events]
    for source, event in sorted(
        {p for p in counted if counted.count(p) > 1}, key=lambda p: (p[0], p[1].__name__)
    ):
        yield f"'{source}' + {event.__name__} has two policies"
