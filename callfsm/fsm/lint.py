"""Refuse a wrong table when it is defined, not when it runs; every message names the row."""

from collections import Counter
from collections.abc import Iterable, Iterator
from inspect import signature
from itertools import product
from typing import Any

from callfsm.errors import CallfsmError
from callfsm.fsm.table import STAY, After, Event, Kind, Row, State, Table, name_of


class TableError(CallfsmError):
    """A table that cannot be right. `problems` holds one sentence each."""

    def __init__(self, table: str, problems: list[str]) -> None:
        self.table = table
        self.problems = problems
        super().__init__(f"table '{table}': " + "; ".join(problems))


def check(table: Table[Any]) -> None:
    """Raise TableError unless the table is complete, reachable and without contradiction."""
    problems = [*_unknown_states(table), *_unknown_events(table), *_callbacks(table)]
    if not problems:
        problems = [
            *_states(table),
            *_hidden_rows(table),
            *_unreachable(table),
            *_open_pairs(table),
        ]
    if problems:
        raise TableError(table.name, problems)


def _unknown_states(table: Table[Any]) -> Iterator[str]:
    names = [state.name for state in table.states]
    for name in _repeated(names):
        yield f"state '{name}' is declared twice"
    if table.initial not in names:
        yield f"initial state '{table.initial}' is not declared"
    for row in table.rows:
        for name in row.sources:
            if name not in names:
                yield f"row '{row}' names the unknown state '{name}'"
        if row.target not in (*names, STAY):
            yield f"row '{row}' names the unknown state '{row.target}'"
    for rest in table.rest:
        for name in rest.sources:
            if name not in names:
                yield f"policy '{rest}' names the unknown state '{name}'"


def _unknown_events(table: Table[Any]) -> Iterator[str]:
    """Events that are none, that share a name, or that nothing takes."""
    mentions = dict(_mentions(table))
    for event, where in mentions.items():
        if problem := _no_event(event):
            yield f"{where} names {name_of(event)}, which is {problem}"
    by_name: dict[str, Any] = {}
    for event, where in mentions.items():
        other = by_name.setdefault(name_of(event), event)
        if other is not event:
            yield f"two events are called '{name_of(event)}': in {mentions[other]} and in {where}"
    taken = {row.event for row in table.rows}
    for event in table.internal:
        if event not in taken:
            yield f"no row takes the internal event {name_of(event)}"


def _mentions(table: Table[Any]) -> Iterator[tuple[Any, str]]:
    """Every event a table names, and the last place that does (the row, if there is one)."""
    for event in table.internal:
        yield event, "`internal`"
    for rest in table.rest:
        yield from ((event, f"policy '{rest}'") for event in rest.events)
    for state in table.states:
        if state.after is not None:
            posted: Any = state.after.event
            kind = posted if isinstance(posted, type) else type(posted)
            yield kind, f"the time-out of state '{state.name}'"
    for row in reversed(table.rows):
        yield row.event, f"row '{row}'"


def _no_event(event: Any) -> str:
    """Why this cannot be an event, or ""."""
    if not (isinstance(event, type) and issubclass(event, Event)):
        return "no subclass of Event"
    parameters = vars(event).get("__dataclass_params__")
    return "" if parameters is not None and parameters.frozen else "no frozen dataclass"


def _callbacks(table: Table[Any]) -> Iterator[str]:
    for row in table.rows:
        yield from _wrong(f"row '{row}'", ("the model", "the event"), do=row.do, when=row.when)
    for state in table.states:
        where = f"state '{state.name}'"
        yield from _wrong(where, ("the model",), enter=state.enter, leave=state.leave)
        if state.after is not None:
            yield from _time_out(where, state.after)


def _time_out(where: str, after: After[Any]) -> Iterator[str]:
    if isinstance(after.event, type):
        yield f"{where}: `after` posts a class, not an event"
    if callable(after.seconds):
        yield from _wrong(where, ("the model",), after=after.seconds)
    elif after.seconds < 0:
        yield f"{where} times out after {after.seconds} s"


def _wrong(where: str, arguments: tuple[str, ...], **functions: Any) -> Iterator[str]:
    for role, function in functions.items():
        if function is not None and not _takes(function, len(arguments)):
            yield f"{where}: `{role}` must be a function of {' and '.join(arguments)}"


def _takes(function: Any, arguments: int) -> bool:
    if not callable(function):
        return False
    try:
        signature(function).bind(*[None] * arguments)
    except TypeError:
        return False
    except ValueError:  # some built-in functions do not tell
        return True
    return True


def _states(table: Table[Any]) -> Iterator[str]:
    for state in table.states:
        rows = [row for row in table.rows if state.name in row.sources]
        match state.kind:
            case Kind.FINAL:
                yield from _final(state, rows)
            case Kind.PASSING:
                yield from _passing(state, rows, table.internal)
            case Kind.WAITING:
                yield from _waiting(state, rows)


def _final(state: State[Any], rows: list[Row[Any, Any]]) -> Iterator[str]:
    if rows:
        yield f"final state '{state.name}' has the row '{rows[0]}'"
    if state.after is not None:
        yield f"final state '{state.name}' has a time-out"


def _passing(
    state: State[Any], rows: list[Row[Any, Any]], internal: tuple[type[Event], ...]
) -> Iterator[str]:
    if not any(row.event in internal for row in rows):
        yield f"passing state '{state.name}' has no row for an internal event"
    if state.after is not None:
        yield f"passing state '{state.name}' has a time-out"


def _waiting(state: State[Any], rows: list[Row[Any, Any]]) -> Iterator[str]:
    if state.after is None:
        if not state.waits_forever:
            yield f"state '{state.name}' waits without a time-out; say `after` or `waits_forever`"
    elif not any(row.event is type(state.after.event) for row in rows):
        event = name_of(type(state.after.event))
        yield f"state '{state.name}' times out with {event}, and none of its rows takes that"


def _hidden_rows(table: Table[Any]) -> Iterator[str]:
    for state, event in product(table.states, table.events):
        rows = list(table.rows_of(state.name, event))
        always = next((row for row in rows if row.when is None), None)
        for row in rows[rows.index(always) + 1 :] if always else ():
            where = f"in '{state.name}'"
            yield f"{where} row '{row}' can never fire: the unguarded row '{always}' comes first"


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
        pair = f"'{state.name}' + {name_of(event)}"
        rows = list(table.rows_of(state.name, event))
        closed = bool(rows) and rows[-1].when is None
        has_policy = (state.name, event) in policies
        if closed and has_policy:
            yield f"{pair} has a row that always applies and a policy"
        if not closed and not has_policy:
            row = f" after its row '{rows[-1]}'" if rows else ""
            yield f"{pair} has neither an unguarded row nor a policy{row}"
    pairs = [(s, name_of(e)) for rest in table.rest for s in rest.sources for e in rest.events]
    for source, name in sorted(_repeated(pairs)):
        yield f"'{source}' + {name} has two policies"


def _repeated(things: Iterable[Any]) -> list[Any]:
    return [thing for thing, times in Counter(things).items() if times > 1]
