"""A table made executable: which row is taken, in what order effects come, what is refused."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from callfsm.fsm.machine import STATE_TIMER, EndlessTurn, Machine, Step, UnexpectedEvent
from callfsm.fsm.table import (
    STAY,
    After,
    CancelTimer,
    Effect,
    Event,
    Kind,
    Policy,
    Raise,
    Rest,
    Row,
    SetTimer,
    State,
    Table,
)


@dataclass(frozen=True, slots=True)
class Push(Event):
    """Somebody pushes the lift's button."""

    floor: int = 1


@dataclass(frozen=True, slots=True)
class Arrived(Event):
    """The lift is there."""


@dataclass(frozen=True, slots=True)
class Opened(Event):
    """Internal: the door is open, or was."""


@dataclass(frozen=True, slots=True)
class Stuck(Event):
    """The lift moves for too long."""


@dataclass(frozen=True, slots=True)
class Say(Effect):
    """What a handler did, for the order of things."""

    what: str


@dataclass(slots=True)
class Lift:
    state: str = ""
    floor: int = 0
    log: list[str] = field(default_factory=list)


def say(*whats: str) -> Any:
    def handler(lift: Lift, *_: Event) -> Iterator[Effect]:
        yield from map(Say, whats)

    return handler


def go_to(lift: Lift, event: Push) -> Iterator[Effect]:
    yield Say(f"from {lift.floor} to {event.floor}")
    lift.floor = event.floor


def is_here(lift: Lift, event: Push) -> bool:
    lift.log.append("is_here")
    return event.floor == lift.floor


def is_low(lift: Lift, event: Push) -> bool:
    lift.log.append("is_low")
    return event.floor < 10


def open_door(lift: Lift, event: Arrived) -> Iterator[Effect]:
    yield Raise(Opened())
    yield Say("before it is open")


LIFT: Table[Lift] = Table(
    name="lift",
    note="a lift",
    initial="still",
    states=(
        State("still", "", enter=say("enter still"), leave=say("leave still"), waits_forever=True),
        State(
            "moving", "", enter=say("start"), after=After(lambda lift: 9.0 + lift.floor, Stuck())
        ),
        State("open", "", Kind.PASSING, leave=say("close")),
        State("broken", "", Kind.FINAL, enter=say("ring")),
    ),
    rows=(
        Row("still", Push, "still", say("bow"), when=is_here),
        Row("still", Push, "moving", go_to, when=is_low),
        Row("still", Push, STAY, say("too high")),
        Row("moving", Push, "moving", go_to, when=is_low),
        Row("moving", Arrived, "open", open_door),
        Row("moving", Stuck, "broken"),
        Row("open", Opened, "still", say("opened")),
    ),
    rest=(
        Rest("still", (Arrived, Stuck), Policy.IGNORE, ""),
        Rest(("still", "moving"), (Opened,), Policy.REJECT, ""),
        Rest("moving", (Push,), Policy.POSTPONE, "no such floor yet"),
        Rest("open", (Push, Arrived, Stuck), Policy.REJECT, ""),
        Rest("broken", (Push, Arrived, Stuck, Opened), Policy.IGNORE, ""),
    ),
    internal=(Opened,),
)
machine: Machine[Lift] = Machine(LIFT)


def started() -> Lift:
    lift = Lift()
    machine.start(lift)
    return lift


def test_start_enters_the_initial_state() -> None:
    """Starting a model puts it in the initial state and runs that state's `enter`."""
    lift = Lift()
    turn = machine.start(lift)
    assert (lift.state, turn.effects, turn.steps) == ("still", [Say("enter still")], [])


def test_the_first_row_whose_guard_holds_is_taken() -> None:
    """Rows of a pair are tried in order, and no guard after the one that holds is asked."""
    lift = started()
    turn = machine.handle(lift, Push(0))
    assert turn.steps == [Step("still", Push(0), "still", LIFT.rows[0])]
    assert lift.log == ["is_here"]


def test_a_row_after_a_guard_that_fails_is_tried_next() -> None:
    """When a guard says no, the next row of the pair has its chance."""
    lift = started()
    assert machine.handle(lift, Push(3)).steps[0].row is LIFT.rows[1]
    assert lift.log == ["is_here", "is_low"]


def test_the_unguarded_row_takes_what_is_left() -> None:
    """The last row without a guard takes what every guard refused."""
    assert machine.handle(started(), Push(50)).steps[0].row is LIFT.rows[2]


def test_a_pair_whose_guards_all_fail_falls_to_its_policy() -> None:
    """When no row takes the event, the pair's policy says what happens."""
    lift = started()
    machine.handle(lift, Push(3))
    step = machine.handle(lift, Push(50)).steps[0]
    assert (step.row, step.policy, step.target) == (None, Policy.POSTPONE, "moving")


def test_effects_come_in_the_order_do_leave_enter() -> None:
    """The row acts first, then the old state is left, then the new one is entered."""
    assert machine.handle(started(), Push(3)).effects == [
        Say("from 0 to 3"),
        Say("leave still"),
        SetTimer(STATE_TIMER, 12.0, Stuck()),
        Say("start"),
    ]


def test_staying_neither_leaves_nor_enters() -> None:
    """A row with the target STAY runs its handler and nothing else."""
    assert machine.handle(started(), Push(50)).effects == [Say("too high")]


def test_a_target_equal_to_the_source_enters_the_state_again() -> None:
    """A row back to its own state leaves it and enters it."""
    effects = machine.handle(started(), Push(0)).effects
    assert effects == [Say("bow"), Say("leave still"), Say("enter still")]


def test_entering_again_restarts_the_time_out() -> None:
    """Re-entry sets the state's timer again, as long as the model now says, and cancels nothing."""
    lift = started()
    machine.handle(lift, Push(3))
    effects = machine.handle(lift, Push(5)).effects
    assert [e for e in effects if isinstance(e, SetTimer | CancelTimer)] == [
        SetTimer(STATE_TIMER, 14.0, Stuck())
    ]


def test_leaving_a_state_cancels_its_time_out() -> None:
    """A time-out belongs to its state and goes with it."""
    lift = started()
    machine.handle(lift, Push(3))
    assert CancelTimer(STATE_TIMER) in machine.handle(lift, Arrived()).effects


def test_internal_events_run_in_the_turn_that_raised_them() -> None:
    """A raised event is handled before `handle` returns, and its effects follow."""
    lift = started()
    machine.handle(lift, Push(3))
    turn = machine.handle(lift, Arrived())
    assert [str(step) for step in turn.steps] == [
        "moving + Arrived -> open",
        "open + Opened -> still",
    ]
    assert [e.what for e in turn.effects if isinstance(e, Say)] == [
        "before it is open",
        "opened",
        "close",
        "enter still",
    ]


def test_a_final_state_is_known_as_final() -> None:
    """The machine tells whether a model has come to its end."""
    lift = started()
    assert not machine.is_final(lift)
    machine.handle(lift, Push(3))
    machine.handle(lift, Stuck())
    assert (lift.state, machine.is_final(lift)) == ("broken", True)


def test_an_ignored_event_changes_nothing() -> None:
    """IGNORE is a step without row and without effects."""
    lift = started()
    turn = machine.handle(lift, Arrived())
    assert (turn.effects, turn.steps) == (
        [],
        [Step("still", Arrived(), "still", None, Policy.IGNORE)],
    )
    assert str(turn.steps[0]) == "still + Arrived -> still (ignored)"


def test_a_rejected_event_raises_and_says_where() -> None:
    """REJECT names table, state and event, and leaves the state alone."""
    lift = started()
    with pytest.raises(UnexpectedEvent, match="lift: Opened is not expected in state 'still'") as e:
        machine.handle(lift, Opened())
    assert (e.value.table, e.value.state, e.value.event) == ("lift", "still", Opened())
    assert lift.state == "still"


def test_an_event_the_table_never_heard_of_is_rejected() -> None:
    """An unknown event is a bug of its sender."""

    class Alien(Event):
        pass

    with pytest.raises(UnexpectedEvent, match="Alien"):
        machine.handle(started(), Alien())


def test_observers_see_every_step_even_the_rejected() -> None:
    """A machine's observers are told of internal and of rejected steps too."""
    seen: list[str] = []

    def see(step: Step) -> None:
        seen.append(str(step))

    lift = started()
    machine.observers.append(see)
    try:
        machine.handle(lift, Push(3))
        machine.handle(lift, Arrived())
        with pytest.raises(UnexpectedEvent):
            machine.handle(lift, Opened())
    finally:
        machine.observers.remove(see)
    assert seen == [
        "still + Push -> moving",
        "moving + Arrived -> open",
        "open + Opened -> still",
        "still + Opened -> still (rejected)",
    ]


# ------------------------------------------------ machines that go wrong
@dataclass(frozen=True, slots=True)
class Go(Event):
    """The one event of the small tables below."""


@dataclass(frozen=True, slots=True)
class Next(Event):
    """Internal."""


def small(rows: tuple[Row[Any, Any], ...], kind: Kind = Kind.PASSING) -> Machine[Any]:
    return Machine(
        Table(
            name="small",
            note="",
            initial="a",
            states=(
                State("a", "", waits_forever=True),
                State("b", "", kind, waits_forever=kind is Kind.WAITING),
            ),
            rows=rows,
            rest=(
                Rest("a", (Next,), Policy.REJECT, ""),
                Rest("b", (Go,), Policy.REJECT, ""),
            ),
            internal=(Next,),
        )
    )


def raise_next(*_: object) -> Iterator[Effect]:
    yield Raise(Next())


def test_internal_events_that_raise_each_other_for_ever_end_the_turn() -> None:
    """A loop in the table raises EndlessTurn instead of hanging the process."""
    looping = small((Row("a", Go, "b", raise_next), Row("b", Next, "b", raise_next)))
    model = Lift()
    looping.start(model)
    with pytest.raises(EndlessTurn, match=r"small: endless turn, last b \+ Next -> b"):
        looping.handle(model, Go())


def test_resting_in_a_passing_state_is_an_error() -> None:
    """A passing state must be left in the turn that entered it."""
    resting = small((Row("a", Go, "b"), Row("b", Next, "a")))
    model = Lift()
    resting.start(model)
    with pytest.raises(EndlessTurn, match="rests in passing state 'b'"):
        resting.handle(model, Go())


def test_an_exception_of_a_handler_passes_through_and_the_state_stays() -> None:
    """A handler that raises leaves the model in the state it was in."""

    def fail(*_: object) -> Iterator[Effect]:
        yield Say("half done")
        raise ZeroDivisionError

    failing = small((Row("a", Go, "b", fail), Row("b", Next, "a")))
    model = Lift()
    failing.start(model)
    with pytest.raises(ZeroDivisionError):
        failing.handle(model, Go())
    assert model.state == "a"


class Killed(BaseException):
    """Like gevent's GreenletExit: no Exception."""


def test_a_kill_is_not_swallowed() -> None:
    """A BaseException of a handler reaches the caller (`transitions` can be told to eat it)."""

    def be_killed(*_: object) -> Iterator[Effect]:
        raise Killed
        yield

    dying = small((Row("a", Go, "b", be_killed), Row("b", Next, "a")))
    model = Lift()
    dying.start(model)
    with pytest.raises(Killed):
        dying.handle(model, Go())


class Lookalike:
    """A model that equals every other and has methods named like events and states."""

    def __init__(self) -> None:
        self.state = ""
        self.called: list[str] = []

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def Go(self, *_: object) -> bool:
        self.called.append("Go")
        return False

    def on_enter_b(self, *_: object) -> None:
        self.called.append("on_enter_b")


def test_equal_models_keep_their_own_states() -> None:
    """Models are told apart by identity, never by `==`."""
    waiting = small((Row("a", Go, "b"), Row("b", Next, "a")), Kind.WAITING)
    one, other = Lookalike(), Lookalike()
    waiting.start(one)
    waiting.start(other)
    waiting.handle(one, Go())
    assert (one.state, other.state) == ("b", "a")


def test_methods_of_the_model_named_like_an_event_are_not_called() -> None:
    """Only what the table names is run: neither a method `Go` nor `on_enter_b` gets in the way."""
    waiting = small((Row("a", Go, "b"), Row("b", Next, "a")), Kind.WAITING)
    model = Lookalike()
    waiting.start(model)
    waiting.handle(model, Go())
    assert (model.state, model.called) == ("b", [])
