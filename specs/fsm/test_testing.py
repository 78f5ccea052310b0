"""The spec tools: given, when, then; and a run in simulated time."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from callfsm.fsm.machine import STATE_TIMER, Machine, UnexpectedEvent
from callfsm.fsm.table import Effect, Policy, Raise, SetTimer
from callfsm.runtimes.simulated import SimulatedRuntime
from callfsm.testing import Scenario, given, simulate
from specs.fsm.turnstile import (
    TURNSTILE,
    Coin,
    Maintain,
    Push,
    Return,
    TooLate,
    Turnstile,
    turnstile_machine,
)


def locked() -> Scenario[Turnstile]:
    return given(turnstile_machine, Turnstile())


def test_reads_like_a_sentence() -> None:
    """Given a state, when an event comes, then there are a state and effects."""
    locked().when(Coin(10)).then("locked", Return(10))
    locked().after(Coin(50)).when(Push()).then("locked")


def test_given_state() -> None:
    """A model can be put straight into a state; an unknown one is refused."""
    given(turnstile_machine, Turnstile(), "open").when(Push()).then("locked")
    with pytest.raises(KeyError, match="ajar"):
        given(turnstile_machine, Turnstile(), "ajar")


def test_wrong_state_fails_with_the_trace() -> None:
    """A wrong state fails, and the failure tells what happened, step by step."""
    scenario = locked().after(Coin(50), Coin(50), Push(), Coin(10)).when(Push())
    with pytest.raises(AssertionError) as failure:
        scenario.then("open")
    assert str(failure.value).splitlines() == [
        "turnstile: expected state 'open', found 'locked'",
        "    it started in locked",
        "    in locked, Coin(cents=50) came: went to open",
        "    in open, Coin(cents=50) came: it was postponed",
        "    in open, Push came: went to locked",
        "    in locked, Coin(cents=10) came: stayed in locked, asked for Return(cents=10)",
        "  > in locked, Push came: it was ignored",
    ]


def test_trace_tells_how_time_passed() -> None:
    """In a simulation the trace says how long it took, and which time-outs that led to."""
    turnstile = simulate(turnstile_machine, Turnstile()).after(Coin(50)).advance(12.5)
    with pytest.raises(AssertionError) as failure:
        turnstile.then("open")
    assert str(failure.value).splitlines() == [
        "turnstile: expected state 'open', found 'locked'",
        "    it started in locked",
        "    in locked, Coin(cents=50) came: went to open",
        "  > 12.5 s passed",
        "  > in open, TooLate came: went to locked",
    ]


def test_trace_of_one_put_straight_into_a_state() -> None:
    """The trace says so when the model did not get into its state by itself."""
    with pytest.raises(AssertionError) as failure:
        given(turnstile_machine, Turnstile(), "open").when(Push()).then("open")
    assert str(failure.value).splitlines()[1:] == [
        "    it was put in open",
        "  > in open, Push came: went to locked",
    ]


@pytest.mark.parametrize("effects", [(), (Return(20),), (Return(10), Return(10)), (SetTimer,)])
def test_wrong_effects_fail(effects: tuple[Return, ...]) -> None:
    """Missing, different and surplus effects fail."""
    with pytest.raises(AssertionError, match=r"found Return\(cents=10\)"):
        locked().when(Coin(10)).then("locked", *effects)


def test_effect_by_type() -> None:
    """An effect may be expected by its type, and then looked at."""
    assert locked().when(Coin(10)).then("locked", Return).the(Return).cents == 10
    with pytest.raises(AssertionError, match="expected one Return, found no effect"):
        locked().when(Push()).the(Return)


def test_policies() -> None:
    """That an event was ignored, postponed or rejected can be expected; another policy fails."""
    locked().when(Push()).then_policy(Policy.IGNORE)
    locked().when(Maintain()).then_policy(Policy.REJECT)
    locked().after(Coin(50)).when(Coin(50)).then_policy(Policy.POSTPONE)
    with pytest.raises(AssertionError, match="expected the policy ignore"):
        locked().when(Coin(50)).then_policy(Policy.IGNORE)


def test_rejected_event_fails() -> None:
    """A rejected event fails every spec that does not expect it."""
    with pytest.raises(
        AssertionError,
        match=r"(?s)this event is rejected.*in locked, Maintain came: it was rejected",
    ):
        locked().after(Maintain())
    with pytest.raises(AssertionError, match="rejected"):
        simulate(turnstile_machine, Turnstile()).when(Maintain()).then("locked")


def test_advance() -> None:
    """In a simulation time-outs fire when time passes, and not before."""
    turnstile = simulate(turnstile_machine, Turnstile()).after(Coin(50))
    turnstile.advance(9.9).then("open")
    turnstile.advance(0.2).then("locked")


def test_frozen_time(runtime: SimulatedRuntime) -> None:
    """Under freezegun `advance` moves the frozen time."""
    started_s = time.monotonic()
    simulate(turnstile_machine, Turnstile(), runtime).after(Coin(50)).advance(11).then("locked")
    assert time.monotonic() - started_s == pytest.approx(11)


def test_postponed_event_comes_back() -> None:
    """In a simulation a postponed event is handled after the next change of state."""
    turnstile = simulate(turnstile_machine, Turnstile()).after(Coin(50), Coin(10))
    turnstile.when(Push()).then("locked", Return(10))


def test_what_goes_wrong_at_the_start() -> None:
    """An error of the initial state's `enter` fails a spec before any event, simulated or not."""
    jammed, model = entering(lambda _: [Return(1 // 0)]), Turnstile()
    for begin in (given, simulate):
        with pytest.raises(ZeroDivisionError):
            begin(jammed, model)


def test_what_is_rejected_at_the_start() -> None:
    """So does an internal event that the initial state rejects."""
    eager = entering(lambda _: [Raise(TooLate())])
    with pytest.raises(UnexpectedEvent, match="TooLate is not expected"):
        given(eager, Turnstile())
    with pytest.raises(AssertionError, match=r"(?s)this event is rejected.*TooLate came"):
        simulate(eager, Turnstile())


def entering(enter: Callable[[Turnstile], list[Effect]]) -> Machine[Turnstile]:
    """A turnstile that does this at its start."""
    locked, *others = TURNSTILE.states
    return Machine(replace(TURNSTILE, states=(replace(locked, enter=enter), *others)))


def test_state_timer_is_an_effect_of_the_machine_only() -> None:
    """A state's own time-out is declared by the state, so specs do not repeat it."""
    model = Turnstile()
    turnstile_machine.start(model)
    [timer] = turnstile_machine.handle(model, Coin(50)).effects
    assert isinstance(timer, SetTimer)
    assert timer.name == STATE_TIMER
    locked().when(Coin(50)).then("open")


def test_what_the_start_asks_for() -> None:
    """Before any event, `then` judges the start: here it asks for nothing."""
    locked().then("locked")
    simulate(turnstile_machine, Turnstile()).then("locked")
