"""The simulated runtime: time moves when told to, and the same seed gives the same order."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from freezegun import freeze_time
from hypothesis import given, settings
from hypothesis import strategies as st

from callfsm.fsm.actor import Actor
from callfsm.fsm.machine import Machine
from callfsm.fsm.table import (
    STAY,
    Effect,
    Event,
    Row,
    SetTimer,
    State,
    Table,
)
from callfsm.runtimes.simulated import SimulatedRuntime


@dataclass(frozen=True, slots=True)
class Wind(Event):
    """Set the alarm."""

    after_s: float


@dataclass(frozen=True, slots=True)
class Rang(Event):
    """The alarm rings."""


@dataclass(frozen=True, slots=True)
class Rung(Effect):
    """The bell is heard."""


@dataclass(slots=True)
class Clock:
    state: str = ""
    repeat_s: float | None = None
    rang: list[str] = field(default_factory=list)


def wind(_: Clock, event: Wind) -> Iterator[Effect]:
    yield SetTimer("alarm", event.after_s, Rang())


def ring(clock: Clock, _: Rang) -> Iterator[Effect]:
    yield Rung()
    if clock.repeat_s is not None:
        yield SetTimer("alarm", clock.repeat_s, Rang())


machine: Machine[Clock] = Machine(
    Table(
        name="clock",
        note="",
        initial="ticking",
        states=(State("ticking", "", waits_forever=True),),
        rows=(Row("ticking", Wind, STAY, wind), Row("ticking", Rang, STAY, ring)),
        rest=(),
    )
)


def clock(
    runtime: SimulatedRuntime,
    rung: Callable[[], None],
    repeat_s: float | None = None,
    *,
    goes_first: bool = False,
) -> Actor[Clock]:
    crashes: list[Exception] = []
    actor = Actor(
        "clock",
        machine,
        Clock(repeat_s=repeat_s),
        runtime=runtime,
        perform=lambda _: rung(),
        crashed=crashes.append,
        goes_first=goes_first,
    )
    actor.start()
    return actor


@settings(deadline=None)
@given(st.lists(st.floats(0, 1000), max_size=20), st.lists(st.floats(0, 400), max_size=12))
def test_every_timer_rings_at_its_own_time(waits_s: list[float], steps_s: list[float]) -> None:
    """However the time is cut into steps, each timer due rings once, and sees its due time."""
    runtime = SimulatedRuntime()
    rang_s: list[float] = []
    for after_s in waits_s:
        clock(runtime, lambda: rang_s.append(runtime.now_s())).tell(Wind(after_s))
    for step_s in steps_s:
        runtime.advance(step_s)
    runtime.advance(1001.0)
    assert rang_s == pytest.approx(sorted(waits_s), abs=1e-9)
    assert runtime.now_s() == pytest.approx(sum(steps_s) + 1001.0)


def test_a_timer_that_a_timer_sets_rings_in_the_same_advance() -> None:
    """Consequences inside the time that passes happen inside it."""
    runtime = SimulatedRuntime()
    rang_s: list[float] = []
    clock(runtime, lambda: rang_s.append(runtime.now_s()), repeat_s=0.25).tell(Wind(0.25))
    runtime.advance(1.1)
    assert rang_s == pytest.approx([0.25, 0.5, 0.75, 1.0])


def test_a_timer_due_at_the_end_of_an_advance_rings() -> None:
    """`advance(30)` shows what a time-out of 30 s does."""
    runtime = SimulatedRuntime()
    rang_s: list[float] = []
    clock(runtime, lambda: rang_s.append(runtime.now_s())).tell(Wind(30.0))
    runtime.advance(30.0)
    assert rang_s == [30.0]


def test_nothing_happens_while_time_stands_still() -> None:
    """Settling handles mail, and lets no timer ring."""
    runtime = SimulatedRuntime()
    rang: list[float] = []
    clock(runtime, lambda: rang.append(0.0)).tell(Wind(0.01))
    runtime.settle()
    assert (rang, runtime.now_s(), len(runtime.timers)) == ([], 0.0, 1)


def test_frozen_time_moves_from_deadline_to_deadline() -> None:
    """Under freezegun an hour of timers passes on the frozen clock, each at its own second."""
    with freeze_time("2026-01-01 12:00:00") as freezer:
        runtime = SimulatedRuntime(clock=time.monotonic, tick=freezer.tick)
        start_s, start_wall_s = runtime.now_s(), time.time()
        rang_s: list[float] = []
        alarm = clock(runtime, lambda: rang_s.append(runtime.now_s() - start_s), repeat_s=60.1)
        alarm.tell(Wind(60.1))
        runtime.advance(3600.0)
        assert rang_s == pytest.approx([60.1 * n for n in range(1, 60)], abs=1e-3)
        assert time.time() - start_wall_s == pytest.approx(3600.0, abs=1e-3)


def order_of_turns(seed: int | None) -> list[str]:
    runtime = SimulatedRuntime(seed=seed)
    order: list[str] = []

    def note(name: str) -> Callable[[], None]:
        return lambda: order.append(name)

    actors: list[Actor[Any]] = [clock(runtime, note(name)) for name in "abcdef"]
    for actor in actors * 2:
        actor.tell(Rang())
    runtime.settle()
    return order


def test_without_a_seed_turns_go_round() -> None:
    """First told, first served, one event each."""
    assert order_of_turns(None) == list("abcdefabcdef")


def test_who_goes_first_takes_its_turns_before_the_others() -> None:
    """All of them, though the others were told first."""
    runtime = SimulatedRuntime()
    order: list[str] = []
    others: list[Actor[Any]] = [clock(runtime, lambda: order.append("other")) for _ in range(2)]
    shared = clock(runtime, lambda: order.append("shared"), goes_first=True)
    for actor in (*others, shared, shared):
        actor.tell(Rang())
    runtime.settle()
    assert order == ["shared", "shared", "other", "other"]


def test_a_seed_shuffles_turns_always_the_same_way() -> None:
    """A seed finds other orders, and finds each again."""
    orders = [order_of_turns(seed) for seed in range(10)]
    assert orders == [order_of_turns(seed) for seed in range(10)]
    assert len({tuple(order) for order in orders}) > 5
    assert all(sorted(order) == sorted("abcdef" * 2) for order in orders)
