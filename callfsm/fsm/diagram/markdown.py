"""A graph as a page of Markdown: picture, states, rows, and what happens to every pair."""

from collections.abc import Iterable, Iterator, Sequence

from callfsm.fsm.diagram.graph import Default, Graph, Node, Rule
from callfsm.fsm.table import Policy


def to_markdown(graph: Graph, picture: str) -> str:
    """The text of a `.md` file; `picture` is what stands for the picture, already Markdown."""
    parts = [
        f"# {graph.name}",
        f"{_sentence(graph.note)}Generated from the table by `callfsm diagram`.",
        picture,
        "## States",
        _states(graph.nodes),
        "## Rows",
        "Rows of the same state and event are tried in order; the first whose guard holds is taken."
        " *Italic* events are raised by the machine itself.",
        rows_table(graph.rules),
    ]
    if graph.defaults:
        parts += [
            "## Every pair",
            "What each event does in each state: → moves, ↻ leaves and enters again, • stays;"
            " otherwise the policy.",
            _matrix(graph),
            "## Why",
            _reasons(graph.defaults),
        ]
    return "\n\n".join(parts) + "\n"


def rows_table(rules: Iterable[Rule]) -> str:
    """Rules as a table, one line each."""
    header = ("from", "event", "guard", "to", "does", "note")
    return _table(header, (_row(rule) for rule in rules))


def _row(rule: Rule) -> Sequence[str]:
    event = f"*{rule.label.event}*" if rule.label.internal else rule.label.event
    sources = ", ".join(_code(source) for source in rule.sources)
    target = _code(rule.target) if rule.target else "(stays)"
    return (sources, event, _code(rule.label.guard), target, _code(rule.action), rule.note)


def _states(nodes: Iterable[Node]) -> str:
    return _table(
        ("state", "kind", "meaning", "time-out"),
        (
            (
                _code(node.name),
                f"{node.kind.value}, initial" if node.initial else node.kind.value,
                node.note,
                f"{node.timeout.event} after {_code(node.timeout.after)}" if node.timeout else "",
            )
            for node in nodes
        ),
    )


def _matrix(graph: Graph) -> str:
    return _table(
        ("", *(_code(node.name) for node in graph.nodes)),
        ((event, *(_cell(graph, node, event) for node in graph.nodes)) for event in graph.events),
    )


def _cell(graph: Graph, node: Node, event: str) -> str:
    rules, policy = graph.outcomes(node, event)
    outcomes = dict.fromkeys(_outcome(rule, node) for rule in rules)
    return "<br>".join((*outcomes, *_policy(policy)))


def _outcome(rule: Rule, node: Node) -> str:
    moves = f"**→ {_escape(rule.target)}**"
    does = {"": "•", node.name: "↻"}.get(rule.target, moves)
    return f"{does} [{_escape(rule.label.guard)}]" if rule.label.guard else does


def _policy(policy: Policy | None) -> Iterator[str]:
    if policy is not None:
        yield policy.value


def _reasons(defaults: Iterable[Default]) -> str:
    return _table(
        ("policy", "in", "events", "because"),
        (
            (
                default.policy.value,
                ", ".join(_code(source) for source in default.sources),
                ", ".join(default.events),
                default.note,
            )
            for default in defaults
        ),
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(c.replace('|', '&#124;') for c in line)} |" for line in lines)


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _sentence(note: str) -> str:
    return f"{note[:1].upper()}{note[1:]}. " if note else ""


def _escape(text: str) -> str:
    return text.replace("_", r"\_")
