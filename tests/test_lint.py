"""A wrong table is refused when it is defined, and the message names what is wrong."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from callfsm.call.table import CALL
from callfsm.fsm.lint import TableError, check
from callfsm.fsm.machine import Machine
from callfsm.fsm.table import (
    STAY,
    After,
    Effect,
    Event,
    Kind,
    Policy,
    Rest,
    Row,
    State,
    Table,
)
from callfsm.inference.table import INFERENCE
from callfsm.link.table import LINK


@dataclass(frozen=True, slots=True)
class Knock(Event):
    """Somebody knocks."""


@dataclass(frozen=True, slots=True)
class Leave(Event):
    """Everybody left."""


@dataclass(frozen=True, slots=True)
class Bored(Event):
    """Nobody came for long."""


@dataclass(frozen=True, slots=True)
class Unheard(Event):
    """Nobody takes it."""


def polite(*_: object) -> bool:
    return True


def polite_pair(model: Any, event: Any) -> list[Effect]:
    return []


def nothing(*_: object) -> Iterator[Effect]:
    yield from ()


SHUT: State[Any] = State("shut", "", waits_forever=True)
OPEN: State[Any] = State("open", "", after=After(lambda _: 1.0, Bored()))
GONE: State[Any] = State("gone", "", Kind.FINAL)
KNOCK: Row[Any, Any] = Row("shut", Knock, "open", when=polite)
KNOCK_RUDELY: Row[Any, Any] = Row("shut", Knock, "shut", nothing)
BORED: Row[Any, Any] = Row("open", Bored, "shut")
LEAVE: Row[Any, Any] = Row(("shut", "open"), Leave, "gone")
REST = (
    Rest("shut", (Bored,), Policy.REJECT, "shut already"),
    Rest("open", (Knock,), Policy.IGNORE, "open already"),
    Rest("gone", (Knock, Leave, Bored), Policy.IGNORE, "nobody hears"),
)

DOOR: Table[Any] = Table(
    name="door",
    note="",
    initial="shut",
    states=(SHUT, OPEN, GONE),
    rows=(KNOCK, KNOCK_RUDELY, BORED, LEAVE),
    rest=REST,
)


def problems(table: Table[Any]) -> list[str]:
    with pytest.raises(TableError) as error:
        check(table)
    assert str(error.value) == f"table '{table.name}': " + "; ".join(error.value.problems)
    return error.value.problems


@pytest.mark.parametrize("table", [DOOR, CALL, INFERENCE, LINK], ids=lambda t: t.name)
def test_a_right_table_passes(table: Table[Any]) -> None:
    """The example below and every machine of this project are complete."""
    check(table)


def test_a_machine_of_a_wrong_table_is_never_made() -> None:
    """The check runs when the machine is defined."""
    with pytest.raises(TableError, match="initial state 'ajar' is not declared"):
        Machine(replace(DOOR, initial="ajar"))


def test_a_state_declared_twice_is_named() -> None:
    """Two states of one name."""
    table = replace(DOOR, states=(*DOOR.states, SHUT))
    assert problems(table) == ["state 'shut' is declared twice"]


def test_a_row_to_an_unknown_state_is_named() -> None:
    """A misspelt target."""
    table = replace(DOOR, rows=(*DOOR.rows[:3], Row("open", Leave, "gnoe")))
    assert problems(table) == ["row 'open + Leave -> gnoe' names the unknown state 'gnoe'"]


def test_a_row_from_an_unknown_state_is_named() -> None:
    """A misspelt source."""
    table = replace(DOOR, rows=(*DOOR.rows, Row("opne", Leave, "gone")))
    assert problems(table) == ["row 'opne + Leave -> gone' names the unknown state 'opne'"]


def test_a_policy_of_an_unknown_state_is_named() -> None:
    """A misspelt state in a policy."""
    table = replace(DOOR, rest=(*REST, Rest("jar", (Knock,), Policy.IGNORE, "why not")))
    assert problems(table) == ["policy 'jar + Knock: ignore' names the unknown state 'jar'"]


def test_two_events_of_one_name_are_refused() -> None:
    """Events are known by class name, so two classes must not share one."""
    twin = dataclass(frozen=True)(type("Knock", (Event,), {}))
    table = replace(DOOR, rest=(*REST, Rest("shut", (twin,), Policy.IGNORE, "")))
    assert problems(table) == [
        "two events are called 'Knock': in row 'shut + Knock [polite] -> open' "
        "and in policy 'shut + Knock: ignore'"
    ]


def test_an_event_is_a_subclass_of_event() -> None:
    """Anything else in the place of an event is named, with its row."""
    row: Row[Any, Any] = Row("open", str, "gone")  # type: ignore[type-var]
    assert problems(replace(DOOR, rows=(*DOOR.rows, row))) == [
        "row 'open + str -> gone' names str, which is no subclass of Event"
    ]
    call = replace(DOOR, internal=("Knock",))  # type: ignore[arg-type]
    assert "`internal` names str, which is no subclass of Event" in problems(call)


def test_an_event_is_a_frozen_dataclass() -> None:
    """An event that can be changed would be changed behind the back of the next actor."""

    class Plain(Event):
        pass

    @dataclass
    class Thawed(Event):
        pass

    class Heir(Knock):
        pass

    for event in (Plain, Thawed, Heir):
        row: Row[Any, Any] = Row("open", event, "gone")
        assert problems(replace(DOOR, rows=(*DOOR.rows, row))) == [
            f"row 'open + {event.__name__} -> gone' names {event.__name__}, "
            "which is no frozen dataclass"
        ]


def test_an_internal_event_is_taken_somewhere() -> None:
    """An internal event without a row is one that the table does not know."""
    table = replace(
        DOOR, rest=(*REST, Rest("shut", (Unheard,), Policy.IGNORE)), internal=(Unheard,)
    )
    assert problems(table) == ["no row takes the internal event Unheard"]


def test_a_time_out_posts_an_event_and_no_class() -> None:
    """`After(1.0, Bored)` is a slip for `After(1.0, Bored())`."""
    state: State[Any] = State("open", after=After(1.0, Bored))  # type: ignore[arg-type]
    assert problems(replace(DOOR, states=(SHUT, state, GONE))) == [
        "state 'open': `after` posts a class, not an event"
    ]


def test_a_time_out_is_not_negative() -> None:
    """Time does not run backwards."""
    state: State[Any] = State("open", after=After(-1.0, Bored()))
    assert problems(replace(DOOR, states=(SHUT, state, GONE))) == [
        "state 'open' times out after -1.0 s"
    ]


def test_the_time_out_of_a_state_leads_somewhere() -> None:
    """A time-out that no row of its state takes ends nothing."""
    table = replace(
        DOOR,
        rows=(KNOCK, KNOCK_RUDELY, LEAVE),
        rest=(REST[0], Rest("open", (Knock, Bored), Policy.IGNORE), REST[2]),
    )
    assert problems(table) == ["state 'open' times out with Bored, and none of its rows takes that"]


@pytest.mark.parametrize("kind", [Kind.FINAL, Kind.PASSING])
def test_only_a_state_that_waits_has_a_time_out(kind: Kind) -> None:
    """The end does not time out, and neither does what is left at once."""
    table = replace(DOOR, states=(SHUT, replace(OPEN, kind=kind), GONE))
    assert f"{kind.value} state 'open' has a time-out" in problems(table)


def misspelt(_: Any) -> list[Effect]:
    return []


@pytest.mark.parametrize("function", ["serve", misspelt])
def test_a_callback_is_a_function_of_the_right_arguments(function: Any) -> None:
    """The name of a function is none, and one argument too few is seen before the first event."""
    wrong = ("row 'open + Leave -> gone'", "must be a function of the model and the event")
    for row in (Row("open", Leave, "gone", function), Row("open", Leave, "gone", when=function)):
        found = problems(replace(DOOR, rows=(*DOOR.rows, row)))
        assert any(wrong[1] in problem and problem.startswith("row 'open") for problem in found)


def test_a_state_s_callback_is_a_function_of_the_model() -> None:
    """The same for what is done on entering, on leaving, and to ask for a time-out."""
    entered: State[Any] = State("shut", enter="knock", leave=polite_pair, waits_forever=True)  # type: ignore[arg-type]
    timed: State[Any] = State("open", after=After(polite_pair, Bored()))  # type: ignore[arg-type]
    assert problems(replace(DOOR, states=(entered, timed, GONE))) == [
        "state 'shut': `enter` must be a function of the model",
        "state 'shut': `leave` must be a function of the model",
        "state 'open': `after` must be a function of the model",
    ]


def test_a_final_state_has_no_rows() -> None:
    """What is over is over."""
    table = replace(DOOR, rows=(*DOOR.rows, Row("gone", Leave, "shut")))
    assert "final state 'gone' has the row 'gone + Leave -> shut'" in problems(table)


def test_a_passing_state_is_left_by_an_internal_event() -> None:
    """A passing state without an internal event would be rested in."""
    passing = replace(OPEN, kind=Kind.PASSING, after=None)
    table = replace(DOOR, states=(SHUT, passing, GONE))
    assert problems(table) == ["passing state 'open' has no row for an internal event"]
    check(replace(table, internal=(Bored,)))


def test_a_waiting_state_has_a_time_out_or_says_that_it_waits_for_ever() -> None:
    """A forgotten time-out is a call that never ends."""
    table = replace(DOOR, states=(replace(SHUT, waits_forever=False), OPEN, GONE))
    assert problems(table) == [
        "state 'shut' waits without a time-out; say `after` or `waits_forever`"
    ]


def test_an_unguarded_row_hides_those_after_it() -> None:
    """The order of two rows is the wrong way round."""
    table = replace(DOOR, rows=(KNOCK_RUDELY, KNOCK, BORED, LEAVE))
    assert (
        "in 'shut' row 'shut + Knock [polite] -> open' can never fire: "
        "the unguarded row 'shut + Knock -> shut' comes first"
    ) in problems(table)


def test_of_two_unguarded_rows_the_second_is_named() -> None:
    """Two rows that always apply contradict each other."""
    second: Row[Any, Any] = Row("open", Leave, "shut")
    assert problems(replace(DOOR, rows=(*DOOR.rows, second))) == [
        "in 'open' row 'open + Leave -> shut' can never fire: "
        "the unguarded row 'shut|open + Leave -> gone' comes first"
    ]


def test_staying_is_no_source() -> None:
    """STAY says where a row leads, not where it comes from."""
    row: Row[Any, Any] = Row(STAY, Leave, "gone")
    assert problems(replace(DOOR, rows=(*DOOR.rows, row))) == [
        "row '(stay) + Leave -> gone' names the unknown state '(stay)'"
    ]


def test_a_state_without_a_way_in_is_named() -> None:
    """No row leads there."""
    table = replace(DOOR, rows=(KNOCK_RUDELY, BORED, LEAVE))
    assert problems(table) == ["state 'open' cannot be reached from 'shut'"]


def test_a_state_without_a_way_out_is_named() -> None:
    """A trap: no path to the end."""
    stay = Rest("open", (Leave,), Policy.IGNORE, "")
    bored: Row[Any, Any] = Row("open", Bored, "open")
    table = replace(
        DOOR,
        rows=(KNOCK, KNOCK_RUDELY, bored, Row("shut", Leave, "gone")),
        rest=(*REST, stay),
    )
    assert problems(table) == ["no path leads from state 'open' to a final state"]


def test_a_pair_without_row_and_policy_is_named() -> None:
    """Every state × event pair is decided by somebody."""
    table = replace(DOOR, rest=REST[1:])
    assert problems(table) == ["'shut' + Bored has neither an unguarded row nor a policy"]


def test_a_time_out_event_needs_a_decision_everywhere() -> None:
    """An event that only a state's `after` mentions is an event like others."""
    table = replace(DOOR, rows=(KNOCK, KNOCK_RUDELY, LEAVE), rest=(REST[1],))
    assert "'open' + Bored has neither an unguarded row nor a policy" in problems(table)


def test_a_guarded_row_alone_leaves_its_pair_open() -> None:
    """When the guard may say no, somebody must say what happens then."""
    table = replace(DOOR, rows=(KNOCK, BORED, LEAVE))
    assert problems(table) == [
        "'shut' + Knock has neither an unguarded row nor a policy "
        "after its row 'shut + Knock [polite] -> open'"
    ]


def test_the_policy_of_a_state_closes_its_open_pairs() -> None:
    """`rest` of a state stands for a Rest of every pair that is left, and an explicit one wins."""
    silent = tuple(replace(state, rest=Policy.REJECT) for state in DOOR.states)
    table = replace(DOOR, rows=(KNOCK, BORED, LEAVE), states=silent, rest=(REST[1],))
    check(table)
    assert {(state, event.__name__): p for (state, event), p in table.policies().items()} == {
        ("shut", "Knock"): Policy.REJECT,
        ("shut", "Bored"): Policy.REJECT,
        ("open", "Knock"): Policy.IGNORE,
        ("gone", "Knock"): Policy.REJECT,
        ("gone", "Bored"): Policy.REJECT,
        ("gone", "Leave"): Policy.REJECT,
    }


def test_a_row_that_always_applies_leaves_nothing_to_a_policy() -> None:
    """A policy that can never act is a contradiction."""
    table = replace(DOOR, rest=(*REST, Rest("open", (Leave,), Policy.IGNORE, "")))
    assert problems(table) == ["'open' + Leave has a row that always applies and a policy"]


def test_two_policies_of_one_pair_are_refused() -> None:
    """Which of the two would hold?"""
    table = replace(DOOR, rest=(*REST, Rest("open", (Knock,), Policy.REJECT, "")))
    assert problems(table) == ["'open' + Knock has two policies"]


def test_every_problem_is_told_at_once() -> None:
    """One run of the check names them all."""
    table = replace(DOOR, states=(replace(SHUT, waits_forever=False), OPEN, GONE), rest=REST[:2])
    assert len(problems(table)) == 4
