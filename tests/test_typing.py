"""What mypy says of user code: nothing of good code, and the very line of a misuse."""

import re

import pytest
from strict_mypy import check

GOOD = """
from collections.abc import Iterator
from dataclasses import dataclass

from callfsm.fsm import (
    STAY, Actor, After, Answer, Effect, Event, Kind, Machine, Policy, Question, Raise, Reply, Rest,
    Row, RowOf, SetTimer, State, Table,
)
from callfsm.runtimes.simulated import SimulatedRuntime


@dataclass(frozen=True, slots=True)
class Knock(Event):
    times: int


@dataclass(frozen=True, slots=True)
class Leave(Event):
    pass


@dataclass(frozen=True, slots=True)
class HowMany(Question[int]):
    pass


@dataclass(frozen=True, slots=True)
class Ring(Effect):
    times: int


@dataclass(slots=True)
class Door:
    state: str = ""
    knocks: int = 0


def hear(door: Door, event: Knock) -> Iterator[Effect]:
    door.knocks += event.times
    yield Ring(event.times)


def count(door: Door, event: HowMany) -> Iterator[Effect]:
    yield event.answer(door.knocks)


def is_loud(door: Door, event: Knock) -> bool:
    return event.times > 2


def any_event(door: Door, event: Event) -> Iterator[Effect]:
    yield Raise(Leave())


STATES: tuple[State[Door], ...] = (
    State("shut", waits_forever=True, rest=Policy.IGNORE),
    State("open", "one may come in", after=After(30, Leave()), rest=Policy.REJECT),
    State("gone", kind=Kind.FINAL, rest=Policy.IGNORE),
)
ROWS: tuple[RowOf[Door], ...] = (
    Row("shut", Knock, "open", hear, when=is_loud),
    Row("shut", Knock, STAY, hear),
    Row(("shut", "open"), HowMany, STAY, count),
)
DOOR = Table[Door](
    name="door",
    note="",
    initial="shut",
    states=STATES,
    rows=(
        *ROWS,
        Row("open", Leave, "gone", any_event),
        Row("shut", Leave, "gone", lambda door, _: [Ring(door.knocks)]),
    ),
    rest=(Rest("open", (Knock,), Policy.POSTPONE),),
)

machine = Machine(DOOR)
runtime = SimulatedRuntime()


def perform(effect: Effect) -> None:
    match effect:
        case Ring(times):
            print(times)


def report(error: Exception) -> None:
    print(error)


actor = Actor("door", machine, Door(), runtime=runtime, perform=perform, crashed=report)
actor.start()
actor.tell(Knock(times=3))
reply: Reply[int] = actor.ask(HowMany())
total: int = runtime.wait(reply, 1.0) + actor.model.knocks
"""

# What is put at the end of the good code, the lines of it that mypy must name, and what it says.
MISUSES = {
    "a field that the event does not have": ("Knock(tmes=3)\n", {1: "tmes"}),
    "a field of the wrong type": ("actor.tell(Knock(times='three'))\n", {1: "str"}),
    "a field that a handler misspells": (
        "def mishear(door: Door, event: Knock) -> Iterator[Effect]:\n    yield Ring(event.tims)\n",
        {2: "tims"},
    ),
    "a change of an event": ("Knock(3).times = 4\n", {1: "read-only"}),
    "a handler of another event, in a table": (
        "Table[Door]('t', '', 'shut', STATES, (\n    Row('shut', Leave, 'gone', hear),\n))\n",
        {2: "Callable[[Door, Knock], Iterator[Effect]]"},
    ),
    "a handler of another event, in rows with a name": (
        "MORE: tuple[RowOf[Door], ...] = (\n"
        "    Row('shut', Knock, 'open', hear),\n"
        "    Row('shut', Leave, 'gone', hear),\n"
        ")\n",
        {3: "Callable[[Door, Knock], Iterator[Effect]]"},
    ),
    "a guard of another event": (
        "MORE: tuple[RowOf[Door], ...] = (\n    Row('shut', Leave, 'gone', when=is_loud),\n)\n",
        {2: "Callable[[Door, Knock], bool]"},
    ),
    "a handler of another model": (
        "class Gate:\n"
        "    state: str = ''\n"
        "def swing(gate: Gate, event: Knock) -> Iterator[Effect]:\n"
        "    yield Ring(1)\n"
        "MORE: tuple[RowOf[Door], ...] = (\n"
        "    Row('shut', Knock, 'open', swing),\n"
        ")\n",
        {6: "Callable[[Gate, Knock], Iterator[Effect]]"},
    ),
    "a handler that returns no effects": (
        "def forget(door: Door, event: Knock) -> int:\n"
        "    return 1\n"
        "MORE: tuple[RowOf[Door], ...] = (Row('shut', Knock, 'open', forget),)\n",
        {3: "Callable[[Door, Knock], int]"},
    ),
    "an event that is none": (
        "MORE: tuple[RowOf[Door], ...] = (Row('shut', str, 'open'),)\n",
        {1: '"str"'},
    ),
    "a time-out that posts a class": (
        "LATE: After[Door] = After(3.0, Leave)\n",
        {1: "type[Leave]"},
    ),
    "a model without a state": (
        "class Wall:\n    pass\nTable[Wall]('t', '', 'shut', (), ())\n",
        {3: "Wall"},
    ),
    "an actor with another machine's model": (
        "class Gate:\n"
        "    state: str = ''\n"
        "Actor('x', machine, Gate(), runtime=runtime, perform=perform, crashed=report)\n",
        {3: 'type parameter "M" of "Actor"'},
    ),
    "a word instead of a policy": ("State('shut', rest='ignore')\n", {1: "Policy"}),
    "an answer of another type": (
        "def lie(_: Door, event: HowMany) -> Iterator[Effect]:\n    yield event.answer('many')\n",
        {2: '"str"'},
    ),
    "a reply of another type": (
        "text: Reply[str] = actor.ask(HowMany())\n",
        {1: 'expected "Question[str]"'},
    ),
    "a runtime that is none": (
        "Actor('x', machine, Door(), runtime=object(), perform=perform, crashed=report)\n",
        {1: "Runtime"},
    ),
}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[int, str]]:
    """What mypy --strict says of each module, by line; one run for all of them."""
    names = {"good": "good.py", **{what: f"bad_{n}.py" for n, what in enumerate(MISUSES)}}
    sources = {
        name: GOOD + (MISUSES[what][0] if what in MISUSES else "") for what, name in names.items()
    }
    said = check(tmp_path_factory.mktemp("typing"), sources)
    found: dict[str, dict[int, str]] = {what: {} for what in names}
    by_file = {name: what for what, name in names.items()}
    for name, line, message in re.findall(r"(\w+\.py):(\d+): error: (.*)", said):
        found[by_file[name]][int(line) - GOOD.count("\n")] = message
    return found


def test_good_code_passes(verdicts: dict[str, dict[int, str]]) -> None:
    """mypy --strict has nothing to say of code that misuses nothing."""
    assert verdicts["good"] == {}


@pytest.mark.parametrize("what", MISUSES)
def test_a_misuse_is_named_at_its_line(what: str, verdicts: dict[str, dict[int, str]]) -> None:
    """The wrong line is reported, for the right reason, and no other line is."""
    expected, said = MISUSES[what][1], verdicts[what]
    assert said.keys() == expected.keys()
    for line, reason in expected.items():
        assert reason in said[line]
