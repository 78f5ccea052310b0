"""Exploration: our machines hold within its bounds, and every seeded bug is found and specified."""

import json
from typing import Any

import pytest
import seeded_bugs as bugs
from typer.testing import CliRunner

from callfsm.call.events import AudioConnected
from callfsm.explore.choices import Bounds, Choice, Move, TimeOut
from callfsm.explore.freezing import frozen, thawed
from callfsm.explore.search import Breach, Found, follow, search
from callfsm.explore.spec import TABLES, given_a_system, spec_of
from callfsm.explore.surroundings import CALL, INFERENCE, LINK
from callfsm.explore.system import MACHINES, begin, happen
from callfsm.fsm.machine import Machine
from callfsm.fsm.table import Table
from service.cli.main import app

ONE_WORD, TWO_WORDS = Bounds(1, 1, 1, 0), Bounds(2, 0, 1, 0)

SEEDED = [
    ("ROW_DROPPED", TWO_WORDS, "lost text"),
    ("WRONG_TARGET", TWO_WORDS, "lost text"),
    ("GUARD_DROPPED", Bounds(2, 0, 1, 1), "lost text"),
    ("STATE_TIMER_LEFT", TWO_WORDS, "leaked timer"),
    ("GRACE_TIMER_LEFT", TWO_WORDS, "leaked timer"),
    ("TAIL_LOST", TWO_WORDS, "lost text"),
    ("CLOSED_LISTENS", Bounds(1, 0, 1, 1), "event after closed"),
    ("NOT_POSTPONED", TWO_WORDS, "lost text"),
    ("RETRY_WITHOUT_LIMIT", Bounds(1, 2, 1, 0), "retry without limit"),
    ("TWO_IN_FLIGHT", TWO_WORDS, "two windows in flight"),
    ("ACCEPT_NOT_TIMED_OUT", ONE_WORD, "deadlock"),
    ("READING_NOT_RESUMED", Bounds(3, 0, 1, 0), "deadlock"),
]

Way = tuple[Choice | TimeOut, ...]

CONNECTED: Way = (Choice.REGISTER, Choice.ANSWER)
LINKED: Way = (Choice.CONNECT, TimeOut(LINK, "settle"))


def run_spec(text: str) -> None:
    """Run the one test of a pytest file that was printed."""
    scope: dict[str, Any] = {}
    exec(compile(text, "spec", "exec"), scope)
    [test] = [each for name, each in scope.items() if name.startswith("test_")]
    test()


def way(*choices: Choice | TimeOut) -> tuple[Move, ...]:
    return tuple(Move(choice) for choice in choices)


# ---------------------------------------------------------------- our machines
@pytest.mark.parametrize(
    "bounds",
    [TWO_WORDS, ONE_WORD, Bounds(1, 0, 1, 1), Bounds(1, 0, 1, 0, looks=True)],
    ids=str,
)
def test_nothing_goes_wrong(bounds: Bounds) -> None:
    """Whatever happens within these bounds, in whatever order, no rule is broken."""
    found = search(MACHINES, bounds)
    assert found.breach is None
    assert found.complete
    assert found.systems > 1000


def test_held_words_when_the_next_window_is_lost() -> None:
    """Words held back go out soon although the window that could confirm them was given up."""
    (
        given_a_system()
        .when(Choice.REGISTER)
        .when(Choice.ANSWER)
        .when(Choice.SPEAK)
        .when(TimeOut("call", "pause"))
        .when(Choice.SPEAK)
        .when(Choice.TRANSCRIBE)
        .when(TimeOut("call", "held words"))
        .when(TimeOut("call", "pause"))
        .when(TimeOut("call", "state"))
        .then_nothing_is_wrong()
    )


def test_peer_hangs_up_while_we_do() -> None:
    """A peer that hangs up in the moment in which an idle link does breaks nothing."""
    (
        given_a_system()
        .when(Choice.REGISTER)
        .when(Choice.ANSWER)
        .when(Choice.CONNECT)
        .when(TimeOut("link", "settle"))
        .at_once(TimeOut("link", "state"))
        .when(Choice.DROP)
        .then_nothing_is_wrong()
    )


# ---------------------------------------------------------------- seeded bugs
@pytest.mark.parametrize(("name", "bounds", "kind"), SEEDED, ids=[name for name, *_ in SEEDED])
def test_a_seeded_bug_is_found(name: str, bounds: Bounds, kind: str) -> None:
    """Its counter-example fails as a spec on the table with the bug, and passes on the other."""
    judge(CALL, name, bounds, kind)


@pytest.mark.parametrize(
    ("actor", "name"), [(INFERENCE, "CONTEXT_FORGOTTEN"), (LINK, "TEXT_FORGOTTEN")]
)
def test_bugs_of_the_other_machines_are_found(actor: str, name: str) -> None:
    """The inference actor and the link are judged as the call is."""
    judge(actor, name, Bounds(2, 1, 1, 0), "deadlock")


def judge(actor: str, name: str, bounds: Bounds, kind: str) -> None:
    table: Table[Any] = getattr(bugs, name)
    assert table != MACHINES[actor].table
    machines = {**MACHINES, actor: Machine(table)}
    found = search(machines, bounds)
    assert found.breach is not None
    assert found.breach.problem.startswith(f"{kind}: ")
    spec = spec_of(found.breach, machines, {**TABLES, actor: f"seeded_bugs:{name}"})
    with pytest.raises(AssertionError, match=kind):
        run_spec(spec)
    module, _, right = TABLES[actor].partition(":")
    run_spec(
        spec.replace(f"from seeded_bugs import {name}", f"from {module} import {right} as {name}")
    )


def test_a_counter_example_is_a_readable_spec() -> None:
    """Given, when, then, and beside each step what the machines do."""
    machines = {**MACHINES, CALL: Machine(bugs.TAIL_LOST)}
    breach = search(machines, TWO_WORDS).breach
    assert breach is not None
    assert spec_of(breach, machines, {**TABLES, CALL: "seeded_bugs:TAIL_LOST"}) == EXAMPLE


EXAMPLE = '''"""Lost text: 'w1' was heard and never forwarded.

Found by `callfsm explore`; no shorter way leads there.
"""

from callfsm.explore.choices import Choice
from callfsm.explore.spec import given_a_system
from callfsm.inference.table import INFERENCE
from callfsm.link.table import LINK
from seeded_bugs import TAIL_LOST


def test_lost_text() -> None:
    """Never lost text: 'w1' was heard and never forwarded."""
    (
        given_a_system(call=TAIL_LOST, inference=INFERENCE, link=LINK)
        .when(Choice.REGISTER)
        # call: registered + Registered -> registered
        .when(Choice.ANSWER)
        # call: registered + AudioConnected -> buffering
        # link: disconnected + Open -> connecting
        .when(Choice.SPEAK)
        # call: buffering + AudioReceived -> buffering
        .when(Choice.END_STREAM)
        # call: buffering + StreamEnded -> closed
        .then_nothing_is_wrong()
    )
'''


# ---------------------------------------------------------------- the search itself
def test_a_whole_call() -> None:
    """A way to the end: what is said is forwarded, and every machine ends."""
    system = follow(
        MACHINES,
        way(
            *CONNECTED,
            *LINKED,
            Choice.SPEAK_AND_PAUSE,
            Choice.TRANSCRIBE,
            Choice.TAKE,
            Choice.ACCEPT,
            Choice.END_STREAM,
            Choice.CLOSE_LINK,
            Choice.STOP_INFERENCE,
        ),
    )
    assert system is not None
    assert system.problems == []
    assert system.around.taken == ["w1"]
    assert {name: member.model.state for name, member in system.members.items()} == {
        CALL: "closed",
        INFERENCE: "stopped",
        LINK: "closed",
    }
    assert list(system.choices()) == []


def test_a_way_that_cannot_be_is_none() -> None:
    """Nobody speaks before the audio port answers."""
    assert follow(MACHINES, way(Choice.REGISTER, Choice.SPEAK)) is None


def test_the_way_is_the_shortest() -> None:
    """Moves that a breach does not need are left out: here, those of the link."""
    found = search({**MACHINES, CALL: Machine(bugs.TAIL_LOST)}, TWO_WORDS)
    assert found.breach is not None
    assert [move.choice for move in found.breach.path] == [
        *CONNECTED,
        Choice.SPEAK,
        Choice.END_STREAM,
    ]


def test_depth_and_size_are_bounds() -> None:
    """A search that was cut short says so."""
    shallow = search(MACHINES, TWO_WORDS, depth=3)
    assert (shallow.depth, shallow.complete, shallow.breach) == (3, False, None)
    small = search(MACHINES, TWO_WORDS, systems=50)
    assert not small.complete
    assert 50 <= small.systems < 100


def test_equal_systems_are_one() -> None:
    """Two orders of things that do not touch each other lead to the same system."""
    one = follow(MACHINES, way(*CONNECTED, Choice.CONNECT, Choice.SPEAK))
    other = follow(MACHINES, way(*CONNECTED, Choice.SPEAK, Choice.CONNECT))
    assert one is not None
    assert other is not None
    assert frozen(one) == frozen(other)
    different = follow(MACHINES, way(*CONNECTED, Choice.SPEAK_AND_PAUSE, Choice.CONNECT))
    assert different is not None
    assert frozen(one) != frozen(different)


def test_a_copy_goes_its_own_way() -> None:
    """What happens to a thawed system happens to no other, and happens as to the first."""
    system = follow(MACHINES, way(*CONNECTED, Choice.SPEAK))
    assert system is not None
    data = frozen(system)
    copy = thawed(data)
    for each in (copy, system):
        happen(each, MACHINES, Move(TimeOut(CALL, "pause")))
        assert each.members[CALL].model.state == "inferring"
        assert frozen(each) != data
    assert frozen(copy) == frozen(system)


# ---------------------------------------------------------------- mail, as in fsm.actor
def test_a_time_out_that_was_set_again_is_void() -> None:
    """A pause that ran out while more speech arrived is no pause."""
    path = (
        *way(*CONNECTED),
        Move(Choice.SPEAK),
        Move(Choice.SPEAK, seen=False),
        Move(TimeOut(CALL, "pause")),
    )
    system = follow(MACHINES, path)
    assert system is not None
    assert system.members[CALL].model.windows.heard_s == 1.0
    assert system.members[CALL].model.window.cut.value == "full"


def test_a_rejected_event_is_a_breach() -> None:
    """What the table rejects ends the way, with the sentence that says so."""
    system = begin(MACHINES, Bounds())
    system.members[CALL].mail.append(AudioConnected())
    system.members[CALL].model.state = "buffering"
    system.ready.append(CALL)
    happen(system, MACHINES, Move(Choice.REGISTER))
    assert system.problems == [
        "rejected event: call: AudioConnected is not expected in state 'buffering'"
    ]


# ---------------------------------------------------------------- callfsm explore
def test_the_command_says_how_far_it_looked() -> None:
    """Exit code 0 and one sentence."""
    result = CliRunner().invoke(app, ["explore", "--pieces", "0", "--races", "0"])
    assert result.exit_code == 0
    assert result.output.startswith("no breach in ")
    assert result.output.endswith("nothing is left untried\n")


def test_the_command_prints_a_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1 and a spec; with --json the way as well."""
    breach = Breach(way(*CONNECTED, Choice.END_STREAM), "lost text: all of it")

    def find(**_: Any) -> Found:
        return Found(breach, 10, 3, complete=False)

    monkeypatch.setattr("service.cli.explore.search", find)
    result = CliRunner().invoke(app, ["explore"])
    assert result.exit_code == 1
    assert "def test_lost_text" in result.output
    run_spec(result.output)
    result = CliRunner().invoke(app, ["explore", "--json"])
    assert result.exit_code == 1
    figures = json.loads(result.output)
    assert figures["way"] == [choice.value for choice in (*CONNECTED, Choice.END_STREAM)]
