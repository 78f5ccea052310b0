"""Supervision: who crashes starts again with back-off, too much is escalated, ends are in order."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from callfsm.errors import CallfsmError
from callfsm.fsm.actor import Actor
from callfsm.fsm.machine import Machine
from callfsm.fsm.supervision import Strategy
from callfsm.fsm.supervisor import Escalated, Supervisor
from callfsm.fsm.table import STAY, After, Effect, Event, Kind, Policy, Row, State, Table
from callfsm.runtimes.simulated import SimulatedRuntime


@dataclass(frozen=True, slots=True)
class Work(Event):
    """Something to do."""


@dataclass(frozen=True, slots=True)
class Faint(Event):
    """A bug."""


@dataclass(frozen=True, slots=True)
class Leave(Event):
    """Finish, then go."""


@dataclass(frozen=True, slots=True)
class Finished(Event):
    """Time-out: what was in hand is done."""


@dataclass(frozen=True, slots=True)
class Did(Effect):
    what: str


@dataclass(slots=True)
class Worker:
    state: str = ""
    worked: int = 0
    finishing_s: float = 1.0


def work(worker: Worker, _: Work) -> Iterator[Effect]:
    worker.worked += 1
    yield Did(f"works {worker.worked}")


def faint(*_: object) -> Iterator[Effect]:
    raise ZeroDivisionError("fainted")


WORKER: Table[Worker] = Table(
    name="worker",
    note="",
    initial="working",
    states=(
        State("working", enter=lambda _: [Did("starts")], waits_forever=True, rest=Policy.REJECT),
        State("leaving", after=After(lambda w: w.finishing_s, Finished()), rest=Policy.REJECT),
        State("home", kind=Kind.FINAL, enter=lambda _: [Did("goes")], rest=Policy.IGNORE),
    ),
    rows=(
        Row("working", Work, STAY, work),
        Row(("working", "leaving"), Faint, STAY, faint),
        Row("working", Leave, "leaving"),
        Row("leaving", Finished, "home"),
    ),
)
worker_machine = Machine(WORKER)

STRATEGY = Strategy(restarts=3, within_s=60.0, first_wait_s=1.0, factor=2.0, longest_wait_s=3.0)


class House:
    """A supervisor on simulated time, and all that its workers did, with the time."""

    def __init__(self, strategy: Strategy = STRATEGY) -> None:
        self.runtime = SimulatedRuntime()
        self.log: list[str] = []
        self.escalated: list[Exception] = []
        self.boss = Supervisor(
            "boss",
            runtime=self.runtime,
            escalated=self.escalated.append,
            ended=lambda: self.log.append(f"{self.now} all gone"),
            strategy=strategy,
        )

    @property
    def now(self) -> str:
        return f"{self.runtime.now_s():g}"

    def note(self, name: str) -> Callable[[Effect], None]:
        def perform(effect: Effect) -> None:
            assert isinstance(effect, Did)
            self.log.append(f"{self.now} {name} {effect.what}")

        return perform

    def hire(
        self,
        name: str,
        boss: Supervisor | None = None,
        model: Callable[[], Worker] = Worker,
        goodbye: Event | None = None,
    ) -> Actor[Worker]:
        boss = boss if boss is not None else self.boss
        return boss.spawn(name, worker_machine, model, perform=self.note(name), goodbye=goodbye)

    def tell(self, actor: Actor[Worker], *events: Event) -> None:
        for event in events:
            actor.tell(event)
        self.runtime.settle()


@pytest.fixture
def house() -> House:
    return House()


# ------------------------------------------------ restarting
def test_a_crashed_child_starts_again_after_a_while(house: House) -> None:
    """The same actor, a fresh model, after the first wait."""
    ann = house.hire("ann")
    house.tell(ann, Work(), Faint(), Work())
    house.runtime.advance(0.9)
    assert ann.stopped
    house.runtime.advance(0.1)
    house.tell(ann, Work())
    assert house.log == ["0 ann starts", "0 ann works 1", "1 ann starts", "1 ann works 1"]


def test_what_a_child_is_told_while_it_is_down_is_a_dead_letter(house: House) -> None:
    """Nothing is kept for it, and nothing is lost in silence."""
    ann = house.hire("ann")
    house.tell(ann, Faint(), Work())
    house.tell(ann, Work())
    assert house.runtime.dead_letters.counts == {("worker", "Work"): 2}


def test_other_children_go_on(house: House) -> None:
    """One crashes, the other does not notice."""
    ann, bob = house.hire("ann"), house.hire("bob")
    house.tell(ann, Faint())
    house.tell(bob, Work())
    assert house.log[-1] == "0 bob works 1"


def test_the_wait_grows_up_to_its_limit(house: House) -> None:
    """1 s, 2 s, then the longest wait: 3 s."""
    ann = house.hire("ann")
    for _ in range(3):
        house.tell(ann, Faint())
        house.runtime.advance(3.0)
    assert house.log == ["0 ann starts", "1 ann starts", "5 ann starts", "9 ann starts"]


def test_a_child_that_crashes_at_its_start_is_restarted_too(house: House) -> None:
    """A model that cannot be made counts as a crash of the child, not of its supervisor."""
    births = iter([Worker(), None, Worker()])

    def birth() -> Worker:
        worker = next(births)
        assert worker is not None
        return worker

    ann = house.hire("ann", model=birth)
    house.tell(ann, Faint())
    house.runtime.advance(3.0)
    assert (house.log, house.escalated) == (["0 ann starts", "3 ann starts"], [])


def test_old_crashes_are_forgiven() -> None:
    """Only the crashes within the time of the strategy count."""
    house = House(Strategy(restarts=1, within_s=10.0, first_wait_s=1.0))
    ann = house.hire("ann")
    for _ in range(4):
        house.tell(ann, Faint())
        house.runtime.advance(11.0)
    assert (len(house.log), house.escalated) == (5, [])


# ------------------------------------------------ escalation
def test_too_many_crashes_are_escalated(house: House) -> None:
    """One crash more than the strategy bears stops all, and tells who, how often and why."""
    ann, bob = house.hire("ann"), house.hire("bob")
    for _ in range(4):
        house.tell(ann, Faint())
        house.runtime.advance(3.0)
    (error,) = house.escalated
    assert isinstance(error, Escalated)
    assert (str(error), error.child) == (
        "boss: ann crashed 4 times, which is too often",
        "ann",
    )
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert (ann.stopped, bob.stopped, house.boss.children) == (True, True, ())
    assert len(house.runtime.timers) == 0
    assert not [line for line in house.log if "all gone" in line]


def test_what_a_branch_gives_up_its_parent_restarts(house: House) -> None:
    """An escalation is a crash of the branch: it is built anew, with all its children."""
    team: dict[str, Actor[Worker]] = {}

    def build(foreman: Supervisor) -> None:
        for name in ("ann", "bob"):
            team[name] = house.hire(name, foreman)

    house.boss.supervise("foreman", build, Strategy(restarts=0))
    house.tell(team["ann"], Faint())
    assert [team["ann"].stopped, team["bob"].stopped] == [True, True]
    house.runtime.advance(1.0)
    house.tell(team["bob"], Work())
    assert house.log[2:] == ["1 ann starts", "1 bob starts", "1 bob works 1"]
    assert house.escalated == []


def test_a_branch_that_cannot_be_built_is_a_crash(house: House) -> None:
    """It is tried again with back-off, then escalated with its cause."""

    def build(foreman: Supervisor) -> None:
        house.hire("ann", foreman)
        raise OSError("no room")

    house.boss.supervise("foreman", build)
    house.runtime.advance(60.0)
    assert house.log == ["0 ann starts", "1 ann starts", "3 ann starts", "6 ann starts"]
    assert [str(error.__cause__) for error in house.escalated] == ["no room"]


# ------------------------------------------------ the end
def test_children_end_one_after_the_other_the_youngest_first(house: House) -> None:
    """Each is told goodbye only when the one that started after it has ended; then `ended`."""
    for name in ("ann", "bob", "cid"):
        house.hire(name, goodbye=Leave())
    house.boss.shut_down()
    house.runtime.advance(10.0)
    assert house.log[3:] == ["1 cid goes", "2 bob goes", "3 ann goes", "3 all gone"]


def test_children_end_before_their_parents(house: House) -> None:
    """A branch is over when its own children are, and only then comes the next."""

    def build(foreman: Supervisor) -> None:
        house.hire("bob", foreman, goodbye=Leave())
        house.hire("cid", foreman, goodbye=Leave())

    house.hire("ann", goodbye=Leave())
    house.boss.supervise("foreman", build)
    house.boss.shut_down()
    house.runtime.advance(10.0)
    assert house.log[3:] == ["1 cid goes", "2 bob goes", "3 ann goes", "3 all gone"]


def test_who_does_not_end_in_time_is_stopped(house: House) -> None:
    """The others get their turn, and the end comes."""
    house.hire("ann", goodbye=Leave())
    slow = house.hire("bob", model=lambda: Worker(finishing_s=100.0), goodbye=Leave())
    house.boss.shut_down()
    house.runtime.advance(10.0)
    assert house.log[2:] == ["6 ann goes", "6 all gone"]
    assert (slow.stopped, len(house.runtime.timers)) == (True, 0)


def test_a_child_without_a_goodbye_is_stopped(house: House) -> None:
    """It has nothing to finish."""
    ann = house.hire("ann")
    house.boss.shut_down()
    house.runtime.settle()
    assert (ann.stopped, house.log[1:]) == (True, ["0 all gone"])


def test_a_child_that_is_down_at_the_end_stays_down(house: House) -> None:
    """Nobody is started again to be sent home."""
    ann = house.hire("ann", goodbye=Leave())
    house.tell(ann, Faint())
    house.boss.shut_down()
    house.runtime.advance(10.0)
    assert house.log == ["0 ann starts", "0 all gone"]
    assert len(house.runtime.timers) == 0


@pytest.mark.parametrize("last", [(Faint(),), (Leave(), Faint())])
def test_a_crash_in_the_midst_of_the_end_is_an_end(house: House, last: tuple[Event, ...]) -> None:
    """Whether before or after it was asked, and whoever crashed."""
    ann, bob = house.hire("ann", goodbye=Leave()), house.hire("bob", goodbye=Leave())
    house.boss.shut_down()
    for event in last:
        ann.tell(event)
    bob.tell(Faint())
    house.runtime.advance(10.0)
    assert (house.log[-1], house.boss.children) == ("0 all gone", ())
    assert house.escalated == []


def test_a_child_that_ends_by_itself_is_forgotten(house: House) -> None:
    """Its name is free again, so a supervisor of many short calls does not grow."""
    for _ in range(3):
        house.tell(house.hire("ann"), Leave())
        house.runtime.advance(1.0)
        assert house.boss.children == ()
    assert len(house.log) == 6


def test_stop_ends_all_at_once(house: House) -> None:
    """No goodbye, no restart, no timer left, and nobody is told."""
    ann, bob = house.hire("ann", goodbye=Leave()), house.hire("bob")
    house.tell(bob, Faint())
    house.boss.stop()
    house.runtime.advance(10.0)
    assert (ann.stopped, bob.stopped, house.boss.children) == (True, True, ())
    assert (len(house.log), len(house.runtime.timers), house.escalated) == (2, 0, [])


def test_a_name_is_taken_once_and_nobody_comes_after_the_end(house: House) -> None:
    """Both are refused with the names."""
    house.hire("ann")
    with pytest.raises(CallfsmError, match="boss has a child named ann already"):
        house.hire("ann")
    house.boss.shut_down()
    with pytest.raises(CallfsmError, match="boss: bob comes too late, the end has begun"):
        house.hire("bob")


def test_thousands_of_children_may_end_at_once(house: House) -> None:
    """A supervisor's mailbox is bounded by its children, not by a number."""
    workers = [house.hire(str(number)) for number in range(2_000)]
    for worker in workers:
        worker.tell(Leave())
    house.runtime.advance(1.0)
    assert house.boss.children == ()
