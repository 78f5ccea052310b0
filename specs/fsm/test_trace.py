"""The trace: what happened, told in sentences."""

import pytest

from callfsm.fsm.machine import STATE_TIMER, Step, Turn
from callfsm.fsm.table import STAY, CancelTimer, Effect, Event, Policy, Row, SetTimer
from callfsm.testing.trace import LONG, sentences
from specs.fsm.turnstile import Coin, Push, Return, TooLate


def told(source: str, event: Event, target: str, row: str | Policy, *effects: Effect) -> str:
    """The sentence of a turn of one step, taken by a row to `row` or by a policy."""
    if isinstance(row, Policy):
        step = Step(source, event, target, None, row)
    else:
        step = Step(source, event, target, Row(source, type(event), row))
    [sentence] = sentences(Turn([*effects], [step]))
    return sentence


@pytest.mark.parametrize(
    ("target", "row", "sentence"),
    [
        ("open", "open", "in locked, Push came: went to open"),
        ("locked", STAY, "in locked, Push came: stayed in locked"),
        ("locked", "locked", "in locked, Push came: entered locked again"),
        ("locked", Policy.IGNORE, "in locked, Push came: it was ignored"),
        ("locked", Policy.POSTPONE, "in locked, Push came: it was postponed"),
        ("locked", Policy.REJECT, "in locked, Push came: it was rejected"),
    ],
    ids=["moved", "stayed", "entered again", "ignored", "postponed", "rejected"],
)
def test_outcomes(target: str, row: str | Policy, sentence: str) -> None:
    """Each outcome of an event has its words."""
    assert told("locked", Push(), target, row) == sentence


def test_values() -> None:
    """Events and effects are told with their values, except where those are long."""
    assert told("locked", Coin(10), "locked", STAY, Return(10), SetTimer("t", 1.0, Coin(5))) == (
        "in locked, Coin(cents=10) came: stayed in locked, asked for Return(cents=10), "
        "SetTimer(name='t', after_s=1.0, event=Coin(cents=5))"
    )
    much = 10**LONG
    assert told("locked", Coin(much), "locked", STAY, Return(much)) == (
        "in locked, Coin(…) came: stayed in locked, asked for Return(…)"
    )


def test_timer_of_the_state_is_not_told() -> None:
    """A state's own time-out is declared by the state, so no sentence repeats it."""
    timers = (CancelTimer(STATE_TIMER), SetTimer(STATE_TIMER, 10.0, TooLate()))
    assert told("locked", Push(), "open", "open", *timers) == "in locked, Push came: went to open"


def test_internal_events() -> None:
    """Internal events follow in the same turn; what it asked for stands at its end."""
    steps = [
        Step("locked", Coin(50), "open", Row("locked", Coin, "open")),
        Step("open", Push(), "locked", Row("open", Push, "locked")),
    ]
    assert list(sentences(Turn([Return(50)], steps))) == [
        "in locked, Coin(cents=50) came: went to open",
        "in open, Push followed: went to locked, asked for Return(cents=50)",
    ]
