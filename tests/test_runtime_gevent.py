"""The production runtime on a real hub: order, fairness, timers, faults and stopping.

Time-outs here only end a test that fails; nothing waits for time to pass to be right.
"""

import gc
import logging
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gevent
import pytest
from gevent.event import Event as Signal

from callfsm.fsm.actor import MAILBOX_CAPACITY, Actor
from callfsm.fsm.machine import Machine
from callfsm.fsm.table import (
    STAY,
    CancelTimer,
    Effect,
    Event,
    Kind,
    Policy,
    Rest,
    Row,
    SetTimer,
    State,
    Table,
)
from callfsm.runtimes.gevent import SLICE_S, GeventRuntime

FAILS_AFTER_S = 5.0


@dataclass(frozen=True, slots=True)
class Note(Event):
    what: str


@dataclass(frozen=True, slots=True)
class Later(Event):
    """Note this after some time."""

    what: str
    after_s: float


@dataclass(frozen=True, slots=True)
class Never(Event):
    """Do not note it after all."""

    what: str


@dataclass(frozen=True, slots=True)
class End(Event):
    """The scribe goes home."""


@dataclass(frozen=True, slots=True)
class Written(Effect):
    what: str


@dataclass(slots=True)
class Scribe:
    state: str = ""


def later(_: Scribe, event: Later) -> Iterator[Effect]:
    yield SetTimer(event.what, event.after_s, Note(event.what))


machine: Machine[Scribe] = Machine(
    Table(
        name="scribe",
        note="",
        initial="writing",
        states=(State("writing", "", waits_forever=True), State("home", "", Kind.FINAL)),
        rows=(
            Row("writing", Note, STAY, lambda _, event: [Written(event.what)]),
            Row("writing", Later, STAY, later),
            Row("writing", Never, STAY, lambda _, event: [CancelTimer(event.what)]),
            Row("writing", End, "home"),
        ),
        rest=(Rest("home", (Note, Later, Never, End), Policy.IGNORE, ""),),
    )
)


@pytest.fixture
def runtime() -> Iterator[GeventRuntime]:
    running = GeventRuntime()
    running.start()
    yield running
    running.stop()


class Desk:
    """A scribe on the runtime; `wait` returns once so many notes are written."""

    def __init__(
        self, runtime: GeventRuntime, name: str = "scribe", *, goes_first: bool = False
    ) -> None:
        self.written: list[str] = []
        self.crashes: list[Exception] = []
        self._wanted = 0
        self._enough = Signal()
        self.actor = Actor(
            name,
            machine,
            Scribe(),
            runtime=runtime,
            perform=self.perform,
            crashed=self.crashes.append,
            goes_first=goes_first,
        )
        self.actor.start()

    def perform(self, effect: Effect) -> None:
        assert isinstance(effect, Written)
        if effect.what == "crash":
            raise ZeroDivisionError
        self.written.append(effect.what)
        if len(self.written) >= self._wanted:
            self._enough.set()

    def wait(self, count: int) -> list[str]:
        self._wanted = count
        self._enough.clear()
        if len(self.written) < count:
            assert self._enough.wait(FAILS_AFTER_S), f"only {self.written} came"
        return self.written


def test_events_are_handled_in_the_order_told(runtime: GeventRuntime) -> None:
    """One mailbox, one order."""
    desk = Desk(runtime)
    for number in range(200):
        desk.actor.tell(Note(str(number)))
    assert desk.wait(200) == [str(number) for number in range(200)]


def test_telling_returns_before_anything_is_handled(runtime: GeventRuntime) -> None:
    """Whoever tells is never inside the actor's turn."""
    desk = Desk(runtime)
    desk.actor.tell(Note("a"))
    assert desk.written == []
    assert desk.wait(1) == ["a"]


def test_actors_with_mail_take_turns(runtime: GeventRuntime) -> None:
    """A full mailbox of one call does not keep another's single event waiting."""
    busy, quick = Desk(runtime, "busy"), Desk(runtime, "quick")
    seen: list[int] = []
    quick.actor._perform = lambda _: seen.append(len(busy.written))
    for number in range(MAILBOX_CAPACITY):
        busy.actor.tell(Note(str(number)))
    quick.actor.tell(Note("me too"))
    busy.wait(MAILBOX_CAPACITY)
    assert seen == [1]


def test_who_is_told_things_by_many_keeps_up_with_them(runtime: GeventRuntime) -> None:
    """Fifty calls each tell the same actor something in their turn: none of it waits for theirs."""
    shared = Desk(runtime, "shared", goes_first=True)
    waited: list[int] = []

    def tell_shared(_: Effect) -> None:
        waited.append(shared.actor.waiting)
        shared.actor.tell(Note("for me"))
        shared.actor.tell(Note("and more"))

    for number in range(50):
        desk = Desk(runtime, f"call {number}")
        desk.actor._perform = tell_shared
        desk.actor.tell(Note(""))
    shared.wait(100)
    assert waited == [0] * 50


def test_timers_ring_in_order(runtime: GeventRuntime) -> None:
    """Set in any order, an earlier one after a later one, they ring by their due time."""
    desk = Desk(runtime)
    for what, after_s in (("much later", 60.0), ("d", 0.15), ("b", 0.05), ("c", 0.1), ("a", 0.0)):
        desk.actor.tell(Later(what, after_s))
    assert desk.wait(4) == ["a", "b", "c", "d"]


def test_a_timer_never_rings_early(runtime: GeventRuntime) -> None:
    """The due time on the monotonic clock has come when the event is handled."""
    desk = Desk(runtime)
    rang_s: list[float] = []
    rang = Signal()

    def note_time(_: Effect) -> None:
        rang_s.append(runtime.now_s())
        rang.set()

    desk.actor._perform = note_time
    start_s = runtime.now_s()
    desk.actor.tell(Later("a", 0.015))
    assert rang.wait(FAILS_AFTER_S)
    assert rang_s[0] - start_s >= 0.015


def test_moved_and_cancelled_timers_ring_as_told_last(runtime: GeventRuntime) -> None:
    """A timer moved earlier or later rings once, at its last time; a cancelled one never."""
    desk = Desk(runtime)
    for event in (
        Later("never", 0.04),
        Later("moved later", 0.04),
        Later("moved earlier", 60.0),
        Later("moved later", 0.1),
        Later("moved earlier", 0.05),
        Never("never"),
        Later("last", 0.15),
    ):
        desk.actor.tell(event)
    assert desk.wait(3) == ["moved earlier", "moved later", "last"]


def test_a_burst_of_events_lets_the_hub_run(runtime: GeventRuntime) -> None:
    """While 10 000 events are handled the hub looks at its timers, about every slice."""
    desks = [Desk(runtime, f"scribe {n}") for n in range(40)]
    left = 40 * 250
    done = Signal()
    rounds = 0

    def count(_: Effect) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    def progress() -> None:
        nonlocal rounds
        while not done.is_set():
            rounds += 1
            gevent.sleep(1e-9)  # a timer: it rings when the hub looks

    for desk in desks:
        desk.actor._perform = count
        for number in range(250):
            desk.actor.tell(Note(str(number)))
    other = gevent.spawn(progress)
    start_s = time.process_time()  # others on the machine may stretch a slice, not what it does
    assert done.wait(FAILS_AFTER_S)
    slices = (time.process_time() - start_s) / SLICE_S
    other.kill()
    assert rounds >= 3
    assert rounds >= slices / 2, f"the hub looked {rounds} times in {slices:.0f} slices"


def test_a_crash_stays_with_its_actor(runtime: GeventRuntime) -> None:
    """One actor's fault ends that actor; the others go on, timers included."""
    broken, healthy = Desk(runtime, "broken"), Desk(runtime, "healthy")
    broken.actor.tell(Later("lost", 0.0))
    for desk in (broken, healthy):
        desk.actor.tell(Note("crash" if desk is broken else "a"))
        desk.actor.tell(Note("b"))
        desk.actor.tell(Later("c", 0.001))
    assert healthy.wait(3) == ["a", "b", "c"]
    assert (broken.written, broken.actor.stopped) == ([], True)
    assert [type(error) for error in broken.crashes] == [ZeroDivisionError]


def test_a_crash_in_handling_a_crash_is_logged_and_contained(
    runtime: GeventRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    """Even when the owner's `crashed` fails, the dispatcher lives and the others go on."""

    def fail(_: Any) -> None:
        raise OSError("the owner fails too")

    broken, healthy = Desk(runtime, "call 7"), Desk(runtime, "healthy")
    broken.actor._crashed = fail
    with caplog.at_level(logging.ERROR):
        broken.actor.tell(Note("crash"))
        healthy.actor.tell(Note("a"))
        assert healthy.wait(1) == ["a"]
    assert "call 7" in caplog.text


def test_a_stopped_runtime_gives_no_turns(runtime: GeventRuntime) -> None:
    """After `stop` what still waits is not handled, and no timer rings."""
    stopped = GeventRuntime()
    stopped.start()
    desk, witness = Desk(stopped), Desk(runtime)
    desk.actor.tell(Later("timer", 0.001))
    desk.actor.tell(Note("a"))
    desk.wait(1)
    desk.actor.tell(Note("b"))
    stopped.stop()
    witness.actor.tell(Later("a later timer of another runtime", 0.005))
    witness.wait(1)
    assert desk.written == ["a"]


def test_a_runtime_can_be_stopped_twice_and_before_its_start() -> None:
    """Stopping is always safe."""
    runtime = GeventRuntime()
    runtime.stop()
    runtime.start()
    runtime.stop()
    runtime.stop()


def test_an_ended_actor_is_forgotten(runtime: GeventRuntime) -> None:
    """Nothing of a call that ended stays in the runtime, though its long timers were set."""
    desk = Desk(runtime)
    desk.actor.tell(Later("in five minutes", 300.0))
    desk.actor.tell(Note("a"))
    desk.actor.tell(End())
    desk.wait(1)
    other = Desk(runtime)
    other.actor.tell(Note("turn after the end"))
    other.wait(1)
    gone = weakref.ref(desk)
    del desk
    gc.collect()
    assert gone() is None


def test_a_kill_of_a_turn_is_not_swallowed() -> None:
    """GreenletExit raised in a turn ends the dispatcher and is no crash of the actor."""
    runtime = GeventRuntime()
    runtime.start()
    desk = Desk(runtime)

    def be_killed(_: Effect) -> None:
        raise gevent.GreenletExit

    desk.actor._perform = be_killed
    desk.actor.tell(Note("a"))
    dispatcher = runtime._dispatcher
    assert dispatcher is not None
    dispatcher.join(FAILS_AFTER_S)
    assert (dispatcher.dead, desk.crashes) == (True, [])
    runtime.stop()
