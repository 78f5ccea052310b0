"""Actors: one event at a time, in order; a bounded mailbox; nobody pays for another's fault."""

import gc
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from callfsm.fsm.actor import MAILBOX_CAPACITY, REPLIES_RESERVE, Actor, MailboxFull
from callfsm.fsm.machine import EndlessTurn, Machine, Turn, UnexpectedEvent
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
from callfsm.fsm.timers import STALE_ENTRIES
from callfsm.runtimes.simulated import SimulatedRuntime


@dataclass(frozen=True, slots=True)
class Order(Event):
    """Work for a clerk, who takes one order at a time."""

    number: int = 0
    served_at_once: bool = False


@dataclass(frozen=True, slots=True)
class Served(Event):
    """The order in hand is done."""


@dataclass(frozen=True, slots=True)
class Close(Event):
    """The shop closes."""


@dataclass(frozen=True, slots=True)
class Insult(Event):
    """A bug of the sender."""


@dataclass(frozen=True, slots=True)
class Faint(Event):
    """The clerk's own bug."""


@dataclass(frozen=True, slots=True)
class Spin(Event):
    """Internal: raises itself for ever."""


@dataclass(frozen=True, slots=True)
class TooLong(Event):
    """Time-out of `busy`."""


@dataclass(frozen=True, slots=True)
class Yawn(Event):
    """A timer's event that is never expected in `busy`."""


@dataclass(frozen=True, slots=True)
class Did(Effect):
    what: str


@dataclass(slots=True)
class Clerk:
    state: str = ""
    served: list[int] = field(default_factory=list)


def serve(clerk: Clerk, order: Order) -> Iterator[Effect]:
    clerk.served.append(order.number)
    yield CancelTimer("yawn")
    yield Did(f"order {order.number}")
    if order.served_at_once:
        yield Raise(Order(order.number + 1))
        yield Raise(Served())


def faint(clerk: Clerk, event: Faint) -> Iterator[Effect]:
    yield Did("never performed")
    raise ZeroDivisionError("the clerk fainted")


def spin(*_: object) -> Iterator[Effect]:
    yield Raise(Spin())


def get_bored(clerk: Clerk) -> Iterator[Effect]:
    yield SetTimer("yawn", 5.0, Yawn())


CLERK: Table[Clerk] = Table(
    name="clerk",
    note="",
    initial="idle",
    states=(
        State("idle", "", enter=get_bored, waits_forever=True),
        State("busy", "", after=After(lambda _: 3.0, TooLong())),
        State("home", "", Kind.FINAL),
    ),
    rows=(
        Row("idle", Order, "busy", serve),
        Row("busy", Served, "idle"),
        Row("busy", TooLong, "idle", lambda *_: [Did("gave up")]),
        Row("idle", Yawn, STAY, lambda *_: [Did("yawn")]),
        Row(("idle", "busy"), Close, "home", lambda *_: [Did("go home")]),
        Row(("idle", "busy"), Faint, STAY, faint),
        Row(("idle", "busy"), Spin, STAY, spin),
    ),
    rest=(
        Rest("busy", (Order,), Policy.POSTPONE, "one at a time"),
        Rest("busy", (Yawn,), Policy.REJECT, "nobody yawns at work"),
        Rest("idle", (Served, TooLong), Policy.REJECT, "nothing in hand"),
        Rest(("idle", "busy"), (Insult,), Policy.REJECT, "rude"),
        Rest(
            "home",
            (Order, Served, Close, Faint, Spin, TooLong, Yawn, Insult),
            Policy.IGNORE,
            "out",
        ),
    ),
    internal=(Spin,),
)
machine: Machine[Clerk] = Machine(CLERK)


class Desk:
    """A clerk as an actor, and what became of it."""

    def __init__(self, runtime: SimulatedRuntime, name: str = "clerk", **options: int) -> None:
        self.runtime = runtime
        self.did: list[str] = []
        self.crashes: list[Exception] = []
        self.steps: list[str] = []
        self.clerk = Clerk()
        self.actor = Actor(
            name,
            machine,
            self.clerk,
            runtime=runtime,
            perform=self.perform,
            crashed=self.crashes.append,
            observers=(self.observe,),
            **options,
        )
        self.actor.start()

    def perform(self, effect: Effect) -> None:
        assert isinstance(effect, Did)
        self.did.append(effect.what)

    def observe(self, actor: Actor[Any], turn: Turn) -> None:
        self.steps += [str(step) for step in turn.steps]

    def tell(self, *events: Event) -> None:
        """Tell them all, then let them be handled."""
        for event in events:
            self.actor.tell(event)
        self.runtime.settle()


@pytest.fixture
def runtime() -> SimulatedRuntime:
    return SimulatedRuntime()


@pytest.fixture
def desk(runtime: SimulatedRuntime) -> Desk:
    return Desk(runtime)


# ------------------------------------------------ mailbox
def test_telling_handles_nothing(desk: Desk) -> None:
    """`tell` only fills the mailbox; the runtime gives the turn."""
    desk.actor.tell(Order(1))
    assert (desk.clerk.state, desk.actor.waiting) == ("idle", 1)
    desk.runtime.settle()
    assert (desk.clerk.state, desk.actor.waiting) == ("busy", 0)


def test_a_turn_is_one_event(desk: Desk) -> None:
    """An actor with much mail still takes one event a turn, and says that more wait."""
    desk.actor.tell(Order(1))
    desk.actor.tell(Served())
    assert desk.actor.take_turn()
    assert desk.clerk.state == "busy"
    assert not desk.actor.take_turn()
    assert desk.clerk.state == "idle"


def test_internal_events_come_before_the_mailbox(desk: Desk) -> None:
    """What a handler raises is handled before what was told earlier."""
    desk.tell(Order(1, served_at_once=True), Close())
    assert desk.steps[:4] == [
        "idle + Order -> busy",
        "busy + Order -> busy (postponed)",
        "busy + Served -> idle",
        "idle + Order -> busy",
    ]


def test_postponed_events_come_first_and_in_order(desk: Desk) -> None:
    """After a change of state what was postponed comes before the mailbox, oldest first."""
    desk.tell(Order(1), Order(2), Order(3), Served(), Served(), Close())
    assert desk.did == ["order 1", "order 2", "order 3", "go home"]


def test_postponed_events_wait_for_a_change_of_state(desk: Desk) -> None:
    """No turn is spent on them before, and they count as waiting."""
    desk.tell(Order(1), Order(2))
    assert (desk.clerk.served, desk.actor.waiting) == ([1], 1)
    assert not desk.actor.take_turn()


def test_an_internal_event_can_be_postponed(desk: Desk) -> None:
    """A raised event that the table postpones is kept like any other, not lost."""
    desk.tell(Order(1, served_at_once=True))
    assert desk.clerk.served == [1, 2]


def test_the_world_is_refused_when_the_mailbox_is_full(desk: Desk) -> None:
    """`offer` says False at the capacity and keeps the event out."""
    accepted = [desk.actor.offer(Order(n)) for n in range(MAILBOX_CAPACITY + 3)]
    assert accepted == [True] * MAILBOX_CAPACITY + [False] * 3
    assert (desk.actor.waiting, desk.actor.has_room) == (MAILBOX_CAPACITY, False)


def test_answers_have_a_reserve_that_ends_too(desk: Desk) -> None:
    """`tell` goes on past the capacity for replies, then raises MailboxFull with the name."""
    for number in range(MAILBOX_CAPACITY + REPLIES_RESERVE):
        desk.actor.tell(Order(number))
    with pytest.raises(MailboxFull, match="clerk: 320 events wait in the mailbox"):
        desk.actor.tell(Served())


def test_postponed_events_fill_the_mailbox_too(desk: Desk) -> None:
    """What is put off is still held, so the bound counts it."""
    desk.tell(*[Order(n) for n in range(MAILBOX_CAPACITY)])
    assert desk.actor.waiting == MAILBOX_CAPACITY - 1
    desk.tell(Order(256))
    assert not desk.actor.offer(Order(257))


def test_the_capacity_is_chosen_by_who_makes_the_actor(runtime: SimulatedRuntime) -> None:
    """A mailbox as small as the sender's patience."""
    actor = Actor(
        "clerk",
        machine,
        Clerk(),
        runtime=runtime,
        perform=lambda _: None,
        crashed=lambda _: None,
        capacity=2,
    )
    actor.start()
    assert [actor.offer(Order(n)) for n in range(3)] == [True, True, False]


def test_a_time_out_finds_room_in_a_full_mailbox(desk: Desk) -> None:
    """A flood of events does not wash a time-out away."""
    for _ in range(MAILBOX_CAPACITY + REPLIES_RESERVE):
        desk.actor.tell(Yawn())
    for actor, yawn in desk.runtime.timers.pop_due(5.0):
        actor.tell(yawn)
    desk.runtime.settle()
    assert desk.did == ["yawn"] * (MAILBOX_CAPACITY + REPLIES_RESERVE + 1)


# ------------------------------------------------ timers
def test_a_state_times_out(desk: Desk) -> None:
    """A state that is not left in time gets its time-out event, once."""
    desk.tell(Order(1))
    desk.runtime.advance(2.9)
    assert desk.clerk.state == "busy"
    desk.runtime.advance(0.1)
    assert (desk.clerk.state, desk.did) == ("idle", ["order 1", "gave up"])
    desk.runtime.advance(4.0)
    assert desk.did == ["order 1", "gave up"]


def test_a_state_left_in_time_does_not_time_out(desk: Desk) -> None:
    """Leaving a state takes its timer along."""
    desk.tell(Order(1), Served())
    desk.runtime.advance(3.5)
    assert "gave up" not in desk.did


def test_a_time_out_that_already_waits_goes_with_its_timer(desk: Desk) -> None:
    """When a timer is cancelled while its event is in the mailbox, the event is void."""
    desk.actor.tell(Order(1))
    for actor, event in desk.runtime.timers.pop_due(5.0):
        actor.tell(event)
    desk.runtime.settle()
    assert (desk.crashes, desk.steps) == ([], ["idle + Order -> busy"])


def test_a_time_out_that_already_waits_goes_when_its_timer_is_set_again(desk: Desk) -> None:
    """The moved timer rings at its new time and not before."""
    for event in (Order(1), Served()):
        desk.actor.tell(event)
    for actor, yawn in desk.runtime.timers.pop_due(5.0):
        actor.tell(yawn)
    desk.runtime.settle()
    assert desk.did == ["order 1"]
    desk.runtime.advance(5.0)
    assert desk.did == ["order 1", "yawn"]


@dataclass(frozen=True, slots=True)
class Nap(Event):
    """Sets a timer that is called like nothing in particular."""


def nap(*_: object) -> Iterator[Effect]:
    yield SetTimer("state", 60.0, Yawn())


def test_no_timer_of_a_handler_is_the_state_s(runtime: SimulatedRuntime) -> None:
    """Whatever a handler calls its timers, the time-out of its state stays."""
    table: Table[Clerk] = Table(
        name="sleeper",
        note="",
        initial="awake",
        states=(
            State("awake", after=After(3.0, TooLong()), rest=Policy.REJECT),
            State("home", kind=Kind.FINAL, rest=Policy.IGNORE),
        ),
        rows=(
            Row("awake", Nap, STAY, nap),
            Row("awake", Yawn, STAY),
            Row("awake", TooLong, "home"),
        ),
    )
    sleeper = Actor(
        "sleeper",
        Machine(table),
        Clerk(),
        runtime=runtime,
        perform=lambda _: None,
        crashed=lambda _: None,
    )
    sleeper.start()
    sleeper.tell(Nap())
    runtime.advance(3.0)
    assert sleeper.model.state == "home"


# ------------------------------------------------ the end
def test_a_final_state_stops_the_actor(desk: Desk) -> None:
    """At the end the mailbox and every timer are forgotten, and nothing is handled any more."""
    desk.tell(Order(1), Close(), Order(2))
    assert (desk.actor.stopped, desk.did) == (True, ["order 1", "go home"])
    desk.tell(Order(3))
    assert (desk.actor.waiting, len(desk.runtime.timers)) == (0, 0)
    assert (desk.clerk.served, desk.actor.take_turn()) == ([1], False)


def test_the_end_is_told_once_and_a_stop_is_no_end(runtime: SimulatedRuntime) -> None:
    """`ended` is called when the final state is entered, and neither at a stop nor at a crash."""
    for last, times in ((Close(), 1), (Faint(), 0), (None, 0)):
        ends: list[str] = []
        actor = Actor(
            "clerk",
            machine,
            Clerk(),
            runtime=runtime,
            perform=lambda _: None,
            crashed=lambda _: None,
            ended=lambda ends=ends: ends.append("ended"),  # type: ignore[misc]
        )
        actor.start()
        if last is None:
            actor.stop()
        else:
            actor.tell(last)
        runtime.settle()
        assert (actor.stopped, len(ends)) == (True, times)


def test_a_restarted_actor_is_as_new(desk: Desk) -> None:
    """A fresh model, an empty mailbox, the initial state and its timers; the same actor."""
    desk.tell(Order(1), Order(2))
    fresh = Clerk()
    desk.actor.restart(fresh)
    assert (desk.actor.model, fresh.state, desk.actor.waiting) == (fresh, "idle", 0)
    desk.runtime.advance(5.0)
    assert desk.did == ["order 1", "yawn"]


# ------------------------------------------------ dead letters
def test_what_a_stopped_actor_is_told_is_counted(desk: Desk) -> None:
    """By machine and event, and whoever watches sees the actor and the event."""
    seen: list[tuple[Any, Event]] = []
    letters = desk.runtime.dead_letters
    letters.observers.append(lambda actor, event: seen.append((actor.name, event)))
    desk.tell(Close(), Order(1))
    desk.tell(Order(2), Served())
    assert letters.counts == {("clerk", "Order"): 2, ("clerk", "Served"): 1}
    assert letters.total == 3
    assert seen == [("clerk", Order(1)), ("clerk", Order(2)), ("clerk", Served())]


def test_what_waits_at_a_crash_is_a_dead_letter_too(desk: Desk) -> None:
    """Postponed or not; the event that crashed was taken, and void time-outs do not count."""
    desk.tell(Order(1), Order(2), Faint(), Served())
    assert desk.runtime.dead_letters.counts == {("clerk", "Order"): 1, ("clerk", "Served"): 1}


def test_an_actor_that_ends_in_peace_leaves_no_dead_letter(desk: Desk) -> None:
    """What was handled, and timers that were cancelled by the end, are none."""
    desk.tell(Order(1), Close())
    desk.runtime.advance(10.0)
    assert desk.runtime.dead_letters.total == 0


def test_a_stopped_actor_is_forgotten_by_its_runtime() -> None:
    """After the end nothing in the runtime keeps the actor or its model in memory."""
    runtime = SimulatedRuntime()
    desk = Desk(runtime)
    desk.tell(Order(1), Served(), Order(2), Close())
    gone = weakref.ref(desk)
    del desk
    gc.collect()
    assert gone() is None


def test_a_thousand_actors_leave_no_timer() -> None:
    """Timers do not pile up over calls."""
    runtime = SimulatedRuntime()
    for number in range(1_000):
        Desk(runtime, f"clerk {number}").tell(Order(number), Served(), Close())
    assert len(runtime.timers._heap) <= STALE_ENTRIES
    assert (len(runtime.timers), runtime.timers.next_due_s()) == (0, None)


# ------------------------------------------------ faults
@pytest.mark.parametrize(
    ("bad", "kind"), [(Insult(), UnexpectedEvent), (Faint(), ZeroDivisionError)]
)
def test_a_crash_stays_with_its_actor(
    runtime: SimulatedRuntime, bad: Event, kind: type[Exception]
) -> None:
    """A fault ends one actor, with its mail and timers, and is reported; the next goes on."""
    broken, healthy = Desk(runtime, "broken"), Desk(runtime, "healthy")
    for number, desk in enumerate((broken, healthy)):
        desk.actor.tell(Order(number))
    broken.actor.tell(bad)
    for desk in (broken, healthy):
        desk.actor.tell(Served())
        desk.actor.tell(Order(7))
    runtime.settle()
    assert [type(error) for error in broken.crashes] == [kind]
    assert (broken.actor.stopped, broken.actor.waiting, broken.did) == (True, 0, ["order 0"])
    assert (healthy.crashes, healthy.did) == ([], ["order 1", "order 7"])
    runtime.advance(3.0)
    assert healthy.did[-1] == "gave up"
    assert "gave up" not in broken.did


def test_an_endless_turn_is_a_crash(desk: Desk) -> None:
    """A table that runs in circles ends its actor, not the process."""
    desk.tell(Spin())
    assert [type(error) for error in desk.crashes] == [EndlessTurn]
    assert desk.actor.stopped


def test_a_fault_of_the_world_is_a_crash_too(runtime: SimulatedRuntime) -> None:
    """When an effect cannot be performed the actor is stopped and its owner told."""
    crashes: list[Exception] = []

    def fail(effect: Effect) -> None:
        raise OSError("no")

    actor = Actor("clerk", machine, Clerk(), runtime=runtime, perform=fail, crashed=crashes.append)
    actor.start()
    actor.tell(Order(1))
    runtime.settle()
    assert ([str(error) for error in crashes], actor.stopped) == (["no"], True)
    assert len(runtime.timers) == 0


class Killed(BaseException):
    """Like gevent's GreenletExit: no Exception."""


def test_a_kill_is_no_crash(runtime: SimulatedRuntime) -> None:
    """A BaseException passes through the actor to whoever runs it."""
    crashes: list[Exception] = []

    def be_killed(effect: Effect) -> None:
        raise Killed

    actor = Actor(
        "clerk", machine, Clerk(), runtime=runtime, perform=be_killed, crashed=crashes.append
    )
    actor.start()
    actor.tell(Order(1))
    with pytest.raises(Killed):
        runtime.settle()
    assert crashes == []


class Twin:
    """A model that equals every other."""

    def __init__(self) -> None:
        self.state = ""
        self.served: list[int] = []

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


def test_equal_models_do_not_mix_up(runtime: SimulatedRuntime) -> None:
    """Two actors whose models are equal each handle their own events."""
    twins: Machine[Any] = machine
    models = [Twin(), Twin()]
    crashes: list[Exception] = []
    actors = [
        Actor(n, twins, m, runtime=runtime, perform=lambda _: None, crashed=crashes.append)
        for n, m in enumerate(models)
    ]
    for actor in actors:
        actor.start()
    actors[0].tell(Order(1))
    actors[1].tell(Order(2))
    actors[0].tell(Served())
    runtime.settle()
    assert [(m.state, m.served) for m in models] == [("idle", [1]), ("busy", [2])]
    runtime.advance(3.0)
    assert ([m.state for m in models], crashes) == (["idle", "idle"], [])
