"""Diagrams say what the table says, are readable, and are checked for drift."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from callfsm.call.call import Call
from callfsm.call.events import EndReason, Registered, StreamEnded, TextAccepted
from callfsm.call.settings import CallSettings
from callfsm.call.speech import WebRtcDetector
from callfsm.call.table import CALL
from callfsm.errors import ConfigError
from callfsm.fsm.actor import Actor
from callfsm.fsm.diagram import Format, Show, picture_of, render
from callfsm.fsm.diagram.graph import Graph, Label, Node, Rule, graph_of
from callfsm.fsm.diagram.layout import LABEL_CHAR, LABEL_PX, LINE, Wire, lay_out
from callfsm.fsm.diagram.live import Live
from callfsm.fsm.diagram.readme import block, with_blocks
from callfsm.fsm.lint import TableError
from callfsm.fsm.machine import Machine, UnexpectedEvent
from callfsm.fsm.supervision import SUPERVISION
from callfsm.fsm.table import STAY, After, Event, Kind, Policy, Rest, Row, State, Table
from callfsm.inference.table import INFERENCE
from callfsm.link.table import LINK
from callfsm.runtimes.simulated import SimulatedRuntime
from service.cli.diagram import diagram

OURS = pytest.mark.parametrize(
    "table", [CALL, INFERENCE, LINK, SUPERVISION], ids=lambda table: table.name
)


@dataclass(frozen=True)
class Coin(Event):
    """Money."""


@dataclass(frozen=True)
class Push(Event):
    """A person."""


@dataclass(frozen=True)
class Wait(Event):
    """Nobody came."""


@dataclass(frozen=True)
class Broke(Event):
    """Raised by the gate itself."""


@dataclass
class Gate:
    state: str = ""


def enough(gate: Gate, event: Event) -> bool:
    return True


def foreign(gate: Gate, event: Event) -> bool:
    return True


GATE: Table[Gate] = Table(
    name="gate",
    note="a turnstile: coin, then push",
    initial="end",  # a word that Mermaid keeps for itself
    states=(
        State("wide open", "someone; anyone", after=After(lambda gate: 5, Wait())),
        State("end", "locked", after=After(lambda gate: gate.settings.lock_s, Wait())),  # type: ignore[attr-defined]
        State("gone", "out of order", Kind.FINAL),
    ),
    rows=(
        Row("end", Coin, "wide open", when=enough),
        Row("end", Coin, "wide open", when=foreign),
        Row("end", Coin, STAY, note="not enough"),
        Row("end", Push, "end", note="alarm"),
        Row(("wide open", "end"), Wait, "gone"),
        Row("wide open", Push, "end"),
        Row(("wide open", "end"), Broke, "gone"),
    ),
    rest=(
        Rest("wide open", (Coin,), Policy.POSTPONE, "one at a time"),
        Rest("gone", (Coin, Push, Wait, Broke), Policy.IGNORE, "it is gone"),
    ),
    internal=(Broke,),
)


def graph(show: Show | None = None) -> Graph:
    return graph_of(GATE, show or Show(), policies=True)


class TestGraph:
    def test_stacks_the_rows_between_two_states_on_one_edge(self) -> None:
        """Two states are joined by one edge a direction, whatever the number of rows."""
        edges = {(e.source.name, e.target.name): [*map(str, e.labels)] for e in graph().edges()}
        assert edges == {
            ("end", "wide open"): ["Coin [enough]", "Coin [foreign]"],
            ("end", "gone"): ["Wait", "Broke"],
            ("wide open", "end"): ["Push"],
            ("wide open", "gone"): ["Wait", "Broke"],
        }

    def test_puts_rows_that_lead_nowhere_else_into_the_state(self) -> None:
        """A row that stays and one that enters its own state again are told apart."""
        first = graph().nodes[0]
        inner = [(str(rule.label), rule.again) for rule in graph().inner(first)]
        assert (first.name, inner) == ("end", [("Coin", False), ("Push", True)])

    def test_merges_rows_that_differ_only_in_hidden_guards(self) -> None:
        """Without guards the same event is not written twice on an edge."""
        edge = graph(Show(guards=False)).edges()[0]
        assert [*map(str, edge.labels)] == ["Coin"]

    @pytest.mark.parametrize(
        ("seconds", "spelt"),
        [
            (lambda gate: gate.settings.lock_s, "lock_s"),
            (lambda gate: 2.5, "2.5 s"),
            (600.0, "600 s"),
            (lambda gate: gate.a * 2, "…"),
        ],
    )
    def test_names_the_setting_that_a_time_out_reads(self, seconds: object, spelt: str) -> None:
        """A time-out is spelt as its setting or its seconds, and as … when it is computed."""
        after: After[Gate] = After(seconds, Wait())  # type: ignore[arg-type]
        state = State("only", "", after=after)
        table = Table("t", "", "only", (state,), (Row("only", Wait, STAY),), ())
        timeout = graph_of(table, Show(), policies=False).nodes[0].timeout
        assert timeout is not None
        assert (timeout.after, timeout.event) == (spelt, "Wait")

    def test_lists_what_a_state_s_own_policy_decides(self) -> None:
        """The policy of a state stands beside the explicit ones, with the events left to it."""
        silent = tuple(replace(state, rest=Policy.REJECT) for state in GATE.states)
        table = replace(GATE, states=silent, rest=(GATE.rest[0],))
        gone = graph_of(table, Show(), policies=True).defaults[1]
        assert (gone.sources, gone.policy) == (("gone",), Policy.REJECT)
        assert sorted(gone.events) == ["Broke", "Coin", "Push", "Wait"]
        assert "| Coin | " in render(table, Format.MARKDOWN)
        assert "rejects Coin" in render(table, Format.SVG, Show(policies=True))

    def test_refuses_a_wrong_table(self) -> None:
        """A table that the lint refuses is not drawn."""
        wrong: Table[Gate] = Table("t", "", "nowhere", (), (), ())
        with pytest.raises(TableError, match="nowhere"):
            render(wrong, Format.SVG)


class TestSvg:
    @OURS
    def test_gives_every_state_and_edge_its_id(self, table: Table[object]) -> None:  # type: ignore[type-var]
        """A page can find state-NAME and edge-SOURCE-TARGET, each once."""
        root = ElementTree.fromstring(render(table, Format.SVG))
        ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
        moves = {(s, row.target) for row in table.rows for s in row.sources if row.target != STAY}
        expected = {f"state-{state.name}" for state in table.states}
        expected |= {f"edge-{source}-{target}" for source, target in moves if source != target}
        assert sorted(ids) == sorted(expected)

    def test_makes_ids_of_any_name(self) -> None:
        """A blank in a state's name does not get into an id."""
        assert 'id="edge-wide_open-end"' in render(GATE, Format.SVG)

    def test_shows_what_is_asked_for(self) -> None:
        """Guards and time-outs are shown unless hidden, policies hidden unless shown."""
        plain = render(GATE, Format.SVG)
        bare = render(GATE, Format.SVG, Show(guards=False, timeouts=False, policies=True))
        words = ("[enough]", "lock_s", "postpones Coin")
        assert [word in plain for word in words] == [True, True, False]
        assert [word in bare for word in words] == [False, False, True]

    def test_is_the_same_in_every_process(self) -> None:
        """The order of Python's sets does not reach the file, so `--check` can compare bytes."""
        program = (
            "from callfsm.call.table import CALL; from callfsm.fsm.diagram import *;"
            "import sys; sys.stdout.buffer.write(render(CALL, Format.SVG).encode())"
        )
        env = {**os.environ, "PYTHONHASHSEED": "7"}
        run = subprocess.run([sys.executable, "-c", program], env=env, check=True, stdout=-1)
        assert run.stdout.decode() == render(CALL, Format.SVG)


class TestLive:
    @staticmethod
    def ids(table: Table[Any]) -> set[str]:
        root = ElementTree.fromstring(render(table, Format.SVG))
        return {element.attrib["id"] for element in root.iter() if "id" in element.attrib}

    @OURS
    def test_every_id_is_in_the_picture(self, table: Table[Any]) -> None:
        """Each state, edge and row of the data has its element, and no edge is left out."""
        data = Live(table).data()
        named = {data["state"], *data["edges"], *(row["id"] for row in data["rows"])}
        assert named <= self.ids(table)
        assert {i for i in self.ids(table) if i.startswith("edge-")} == set(data["edges"])

    def test_tells_where_an_actor_is_and_how_it_came_there(self) -> None:
        """The state, the last edge, and how often each row and policy was taken, as JSON."""
        end = replace(GATE.states[1], after=After(60, Wait()))
        table = replace(GATE, states=(GATE.states[0], end, GATE.states[2]))
        live = Live(table)
        runtime = SimulatedRuntime()
        actor = Actor(
            "gate",
            Machine(table),
            Gate(),
            runtime=runtime,
            perform=lambda _: None,
            crashed=lambda _: None,
            observers=(live,),
        )
        actor.start()
        before = json.loads(live.json())
        for event in (Push(), Coin(), Coin(), Push(), Wait()):
            actor.tell(event)
        runtime.settle()
        after = json.loads(live.json())
        assert (before["state"], before["edge"]) == ("state-end", None)
        assert (after["state"], after["edge"]) == ("state-gone", "edge-wide_open-gone")
        assert after["edges"] == {
            "edge-end-wide_open": 2,
            "edge-end-gone": 0,
            "edge-wide_open-end": 1,
            "edge-wide_open-gone": 1,
        }
        taken = {(row["id"], row["row"]): row["count"] for row in after["rows"] if row["count"]}
        assert taken == {
            ("edge-end-wide_open", "end + Coin [enough] -> wide open"): 2,
            ("state-end", "end + Push -> end"): 1,
            ("edge-wide_open-end", "wide open + Push -> end"): 1,
            ("edge-wide_open-gone", "wide open|end + Wait -> gone"): 1,
        }
        (policy,) = after["policies"]
        assert policy == {
            "id": "state-wide_open",
            "state": "wide open",
            "event": "Coin",
            "policy": "postpone",
            "count": 1,
        }
        named = {after["state"], after["edge"], policy["id"]}
        assert named <= self.ids(GATE)

    def test_counts_all_models_of_a_machine_together(self) -> None:
        """As an observer of the machine it sees every model, and the rejected events too."""
        machine = Machine(CALL)
        live = Live(CALL)
        machine.observers.append(live.see)
        for event in (Registered(), StreamEnded(EndReason.SHUTDOWN), TextAccepted(1)):
            call = Call(1, CallSettings(), WebRtcDetector())
            machine.start(call)
            with suppress(UnexpectedEvent):
                machine.handle(call, event)
        data = live.data()
        assert sum(row["count"] for row in data["rows"]) == 2
        assert [policy["policy"] for policy in data["policies"]] == ["reject"]
        assert (data["state"], data["edge"]) == ("state-registered", "edge-registered-closed")


Area = tuple[float, float, float, float]  # left, top, right, bottom


def label_area(wire: Wire) -> Area:
    labels = wire.edge.labels
    width = max(len(str(label)) for label in labels) * LABEL_CHAR
    left = wire.label_x - (width if wire.anchor == "end" else 0)
    top = wire.label_y - (len(labels) - 1) * LINE - LABEL_PX + 2
    return left, top, left + width, wire.label_y + 3


def lines(wire: Wire) -> Iterator[Area]:
    for (ax, ay), (bx, by) in pairwise(wire.points):
        yield min(ax, bx), min(ay, by), max(ax, bx), max(ay, by)


def meet(a: Area, b: Area) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def crosses(line: Area, area: Area) -> bool:
    thick = (line[0] - 0.5, line[1] - 0.5, line[2] + 0.5, line[3] + 0.5)
    return meet(thick, area)


def along(a: Area, b: Area) -> bool:
    """Two lines that lie on each other, so that one could be taken for the other."""
    upright = a[0] == a[2] == b[0] == b[2] and a[1] < b[3] and b[1] < a[3]
    level = a[1] == a[3] == b[1] == b[3] and a[0] < b[2] and b[0] < a[2]
    return upright or level


@st.composite
def machines(draw: st.DrawFn) -> Graph:
    count = draw(st.integers(1, 8))
    nodes = [
        Node(f"s{n}", f"s{n}", "a note " * n, Kind.WAITING, n == 0, None) for n in range(count)
    ]
    number = st.integers(0, count - 1)
    moves = draw(st.lists(st.tuples(number, number, st.integers(1, 30)), max_size=24))
    rules = [
        Rule((f"s{a}",), Label(f"E{n}" * length), f"s{b}", "", "")
        for n, (a, b, length) in enumerate(moves)
    ]
    return Graph("any", "any machine", tuple(nodes), tuple(rules), (), ())


def check_readable(graph: Graph) -> None:
    drawing = lay_out(graph)
    boxes = [(b.x, b.y, b.x + b.width, b.y + b.height) for b in drawing.boxes]
    labels = [label_area(wire) for wire in drawing.wires]
    for one, other in combinations([*boxes, *labels], 2):
        assert not meet(one, other)
    for wire in drawing.wires:
        for line in lines(wire):
            assert not any(crosses(line, label) for label in labels)
            assert not any(meet(line, (b[0] + 1, b[1] + 1, b[2] - 1, b[3] - 1)) for b in boxes)
    for first, second in combinations(drawing.wires, 2):
        if first.edge.target is not second.edge.target:
            assert not any(along(a, b) for a in lines(first) for b in lines(second))
    canvas = (0, 0, drawing.width, drawing.height)
    for area in [*boxes, *labels, *(line for wire in drawing.wires for line in lines(wire))]:
        assert canvas[0] <= area[0] <= area[2] <= canvas[2]
        assert canvas[1] <= area[1] <= area[3] <= canvas[3]


class TestLayout:
    @OURS
    def test_writes_nothing_over_anything(self, table: Table[object]) -> None:  # type: ignore[type-var]
        """In our own pictures no label meets a state, a line or another label."""
        check_readable(graph_of(table, Show(), policies=True))

    @given(machines())
    @settings(max_examples=150, deadline=None)
    def test_writes_nothing_over_anything_in_any_machine(self, graph: Graph) -> None:
        """The same holds for any machine, however its states are joined."""
        check_readable(graph)


@pytest.mark.parametrize("each", Format)
def test_a_table_need_not_explain_itself(each: Format) -> None:
    """Without notes no title ends in a colon, and no sentence is empty."""
    states = tuple(replace(state, note="") for state in GATE.states)
    text = render(replace(GATE, note="", states=states), each)
    assert not re.search(r"gate: |: </title>|\n\. ", text)


class TestMermaid:
    def test_opens_with_the_title(self) -> None:
        """The front matter is YAML whose title may hold a colon."""
        head = render(GATE, Format.MERMAID).splitlines()[:4]
        title = "title: 'gate: a turnstile: coin, then push'"
        assert head == ["---", title, "---", "stateDiagram-v2"]

    def test_avoids_words_of_its_grammar(self) -> None:
        """A state called 'end' keeps its name in the picture, under another identifier."""
        text = render(GATE, Format.MERMAID)
        assert 'state "end" as end_' in text
        assert "[*] --> end_" in text

    def test_stacks_labels(self) -> None:
        """The rows of one edge stand below each other."""
        line = "end_ --> wide_open : Coin [enough]<br>Coin [foreign]"
        assert line in render(GATE, Format.MERMAID)

    def test_escapes_what_would_end_a_description(self) -> None:
        """A colon, semicolon, hash or quote in a name is written as an entity."""
        state: State[Gate] = State('a "b": c; #1', "", waits_forever=True)
        table = Table("t", "", state.name, (state,), (Row(state.name, Coin, STAY),), ())
        assert 'state "a #34;b#34;#58; c#59; #35;1" as' in render(table, Format.MERMAID)


class TestMarkdown:
    def test_says_what_every_pair_does(self) -> None:
        """The matrix has a line per event and a cell per state: moves, stays, or the policy."""
        text = render(GATE, Format.MARKDOWN)
        coin = "**→ wide open** [enough]<br>**→ wide open** [foreign]<br>•"
        assert f"| Coin | {coin} | postpone | ignore |" in text
        assert "| Push | ↻ | **→ end** | ignore |" in text

    def test_lists_rows_as_declared(self) -> None:
        """A row is one line, its sources together, internal events in italics."""
        text = render(GATE, Format.MARKDOWN)
        assert "| `wide open`, `end` | *Broke* |  | `gone` |  |  |" in text
        assert "| `end` | Coin |  | (stays) |  | not enough |" in text

    def test_leaves_policies_out_when_hidden(self) -> None:
        """Without policies there is no matrix and no list of reasons."""
        text = render(GATE, Format.MARKDOWN, Show(policies=False))
        assert "postpone" not in text
        assert "## Every pair" not in text

    def test_shows_mermaid_without_a_file(self) -> None:
        """A page on its own draws itself; beside an SVG it shows that."""
        assert "```mermaid\n---" in render(GATE, Format.MARKDOWN)
        assert picture_of(GATE, svg="gate.svg") == "![a turnstile: coin, then push](gate.svg)"


class TestReadme:
    TEXT = "before\n<!-- diagram:gate -->\nold\n<!-- /diagram -->\nafter\n"

    def test_fills_what_stands_between_the_markers(self) -> None:
        """Only the marked part changes, and filling it again changes nothing."""
        filled = with_blocks(self.TEXT, {"gate": r"new \1"})
        assert filled.startswith("before\n<!-- diagram:gate -->\n")
        assert filled.endswith("<!-- /diagram -->\nafter\n")
        assert r"new \1" in filled
        assert "old" not in filled
        assert with_blocks(filled, {"gate": r"new \1"}) == filled

    def test_leaves_other_machines_alone(self) -> None:
        """A marker that names another machine keeps its part."""
        assert with_blocks(self.TEXT, {"call": "new"}) == self.TEXT

    @pytest.mark.parametrize(
        "text",
        [
            "<!-- diagram:gate -->\nold\n",
            "<!-- diagram:gate -->\n<!-- diagram:call -->\n<!-- /diagram -->\n",
        ],
    )
    def test_refuses_a_part_that_is_not_closed(self, text: str) -> None:
        """Without its end the part is not guessed, so no text is lost."""
        with pytest.raises(ConfigError, match="diagram:gate"):
            with_blocks(text, {"gate": "new"})

    def test_shows_the_rows_that_move(self) -> None:
        """The block holds the picture and the moves, and says where the rest is."""
        text = block(GATE, "PICTURE", "diagrams/gate.md")
        assert text.startswith("PICTURE\n")
        assert "| `wide open` | Push |  | `end` |" in text
        assert "(stays)" not in text
        assert "[diagrams/gate.md](diagrams/gate.md)" in text


cli = typer.Typer(pretty_exceptions_enable=False)
cli.command()(diagram)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "argv", ["callfsm", "diagram", "--check", "--out", "pictures"])
    return tmp_path


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, arguments)
    return result.exit_code, result.stderr


@pytest.mark.usefixtures("folder")
class TestCommand:
    def test_draws_our_machines(self, folder: Path) -> None:
        """Without arguments: an SVG, a Mermaid and a Markdown file for each of ours."""
        assert run() == (0, "")
        names = {path.name for path in (folder / "diagrams").iterdir()}
        endings = (".svg", ".mmd", ".md")
        ours = ("call", "inference", "link", "supervision")
        assert names == {f"{table}{end}" for table in ours for end in endings}

    def test_finds_nothing_out_of_date_in_what_it_wrote(self) -> None:
        """`--check` is silent right after a run."""
        run()
        assert run("--check") == (0, "")

    def test_names_every_stale_file_and_the_remedy(self, folder: Path) -> None:
        """A changed and a missing file: exit code 1, a line each, and nothing is written."""
        run("--out", "pictures")
        (folder / "pictures/call.svg").write_text("old")
        (folder / "pictures/link.md").unlink()
        code, said = run("--check", "--out", "pictures")
        remedy = "is out of date; regenerate it with `callfsm diagram --out pictures`"
        assert code == 1
        assert said.splitlines() == [
            f"{Path('pictures/call.svg')} {remedy}",
            f"{Path('pictures/link.md')} {remedy}",
        ]
        assert (folder / "pictures/call.svg").read_text() == "old"

    def test_keeps_the_readme_up_to_date(self, folder: Path) -> None:
        """The marked part of README.md is written and checked with the files."""
        readme = folder / "README.md"
        readme.write_text("<!-- diagram:call -->\n<!-- /diagram -->\n")
        run()
        assert "](diagrams/call.svg)" in readme.read_text()
        assert run("--check") == (0, "")
        readme.write_text(readme.read_text().replace("forwarding", "forwarded"))
        code, said = run("--check")
        assert (code, said.split()[0]) == (1, "README.md")

    def test_draws_the_user_s_table(self, folder: Path) -> None:
        """A table in a module of the current folder is drawn in the format asked for."""
        source = (
            "from callfsm.fsm.table import *\n"
            "from dataclasses import dataclass\n"
            "@dataclass(frozen=True)\n"
            "class Tick(Event): pass\n"
            "CLOCK = Table('my clock', 'ticks', 'on', (State('on', '', waits_forever=True),),\n"
            "              (Row('on', Tick, STAY),), ())\n"
        )
        (folder / "my_clock_module.py").write_text(source)
        assert run("my_clock_module:CLOCK", "--format", "mermaid", "--out", ".") == (0, "")
        assert "on : • Tick" in (folder / "my_clock.mmd").read_text()

    @pytest.mark.parametrize("ending", ["svg", "mmd", "md"])
    def test_hides_and_shows_by_options(self, folder: Path, ending: str) -> None:
        """Guards, time-outs and policies can each be shown or hidden, in every format."""
        words = ("of_this_window", "give_up_s", "ignore")
        found = []
        for yes in ("", "no-"):
            options = [f"--{yes}{what}" for what in ("guards", "timeouts", "policies")]
            assert run("callfsm.call.table:CALL", *options) == (0, "")
            text = (folder / f"diagrams/call.{ending}").read_text()
            found.append([word in text for word in words])
        assert found == [[True] * 3, [False] * 3]

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (["call"], "write MODULE:TABLE"),
            (["no_such_module:CALL"], "'no_such_module' cannot be imported"),
            (["callfsm.call.table:NOPE"], "has no 'NOPE'"),
            (["callfsm.call.table:STATES"], "is a tuple, not a Table"),
            (["--format", "svg,gif"], "known are svg,mermaid,md"),
        ],
    )
    def test_tells_what_is_wrong_in_one_sentence(self, arguments: list[str], reason: str) -> None:
        """An argument that cannot be used: exit code 2, one line, no traceback."""
        code, said = run(*arguments)
        assert code == 2
        assert reason in said
        assert said.count("\n") == 1
