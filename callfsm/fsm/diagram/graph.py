"""The neutral model between a table and its drawings: names instead of functions and classes."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from callfsm.fsm.lint import check
from callfsm.fsm.table import STAY, After, Event, Kind, Policy, Table, name_of


@dataclass(frozen=True, slots=True)
class Show:
    """What a drawing shows besides states and events; None leaves it to the format."""

    guards: bool = True
    timeouts: bool = True
    policies: bool | None = None


@dataclass(frozen=True, slots=True)
class Timeout:
    """After `after` (the name of a setting, or seconds) in the state, `event` comes."""

    after: str
    event: str


@dataclass(frozen=True, slots=True)
class Node:
    """A state. `id` is its name made fit for an identifier, and no other node has it."""

    name: str
    id: str
    note: str
    kind: Kind
    initial: bool
    timeout: Timeout | None

    @property
    def title(self) -> str:
        return titled(self.name, self.note)

    @property
    def look(self) -> str:
        """Which of the four looks it has: initial, waiting, passing or final."""
        return "initial" if self.initial else self.kind.value


@dataclass(frozen=True, slots=True)
class Label:
    """An event that moves the machine, its guard ("" for none), and whether it is internal."""

    event: str
    guard: str = ""
    internal: bool = False

    def __str__(self) -> str:
        return f"{self.event} [{self.guard}]" if self.guard else self.event


@dataclass(frozen=True, slots=True)
class Rule:
    """A row: `target` is "" where the machine stays; `action` and `note` may be ""."""

    sources: tuple[str, ...]
    label: Label
    target: str
    action: str
    note: str


@dataclass(frozen=True, slots=True)
class Edge:
    """All rules that lead from one state to another."""

    source: Node
    target: Node
    labels: tuple[Label, ...]

    @property
    def id(self) -> str:
        return f"edge-{self.source.id}-{self.target.id}"


@dataclass(frozen=True, slots=True)
class Inner:
    """A rule that leads nowhere else; `again` where the state is left and entered again."""

    label: Label
    again: bool


@dataclass(frozen=True, slots=True)
class Default:
    """The policy of some pairs, and why; what `Rest` is in a table."""

    sources: tuple[str, ...]
    events: tuple[str, ...]
    policy: Policy
    note: str


@dataclass(frozen=True, slots=True)
class Graph:
    """A machine to draw: the nodes with the initial one first, the rules in order."""

    name: str
    note: str
    nodes: tuple[Node, ...]
    rules: tuple[Rule, ...]
    events: tuple[str, ...]
    defaults: tuple[Default, ...]

    @property
    def title(self) -> str:
        return titled(self.name, self.note)

    def edges(self) -> list[Edge]:
        """One edge per pair of states, ordered by source, then by first mention."""
        by_name = {node.name: node for node in self.nodes}
        found: dict[tuple[str, str], dict[Label, None]] = {}
        for node in self.nodes:
            for rule in self._rules_of(node):
                if rule.target not in ("", node.name):
                    found.setdefault((node.name, rule.target), {}).setdefault(rule.label)
        return [Edge(by_name[a], by_name[b], tuple(labels)) for (a, b), labels in found.items()]

    def inner(self, node: Node) -> list[Inner]:
        """What happens in this state without leading to another, each once."""
        found = {
            Inner(rule.label, again=rule.target == node.name): None
            for rule in self._rules_of(node)
            if rule.target in ("", node.name)
        }
        return list(found)

    def policies_of(self, node: Node) -> dict[Policy, list[str]]:
        """The events that no rule of this state takes, by policy."""
        found: dict[Policy, list[str]] = {}
        for default in self.defaults:
            if node.name in default.sources:
                found.setdefault(default.policy, []).extend(default.events)
        return found

    def outcomes(self, node: Node, event: str) -> tuple[list[Rule], Policy | None]:
        """What may happen to `event` in this state: rules in order, then the policy if any."""
        rules = [rule for rule in self._rules_of(node) if rule.label.event == event]
        left = (p for p, events in self.policies_of(node).items() if event in events)
        return rules, next(left, None)

    def _rules_of(self, node: Node) -> Iterator[Rule]:
        return (rule for rule in self.rules if node.name in rule.sources)


def graph_of(table: Table[Any], show: Show, *, policies: bool) -> Graph:
    """The table as a graph; `policies` is taken when `show` leaves them open.

    Raises TableError when the table is wrong: a picture of it would only hide that.
    """
    check(table)
    ids = _ids([state.name for state in table.states])
    nodes = [
        Node(
            name=state.name,
            id=ids[state.name],
            note=state.note,
            kind=state.kind,
            initial=state.name == table.initial,
            timeout=_timeout(state.after) if state.after and show.timeouts else None,
        )
        for state in table.states
    ]
    shown = policies if show.policies is None else show.policies
    return Graph(
        name=table.name,
        note=table.note,
        nodes=tuple(sorted(nodes, key=lambda node: not node.initial)),
        rules=tuple(_rule(row, table.internal, show.guards) for row in table.rows),
        events=tuple(event.__name__ for event in table.events),
        defaults=tuple(_defaults(table)) if shown else (),
    )


def _defaults(table: Table[Any]) -> Iterator[Default]:
    for rest in table.rest:
        events = tuple(event.__name__ for event in rest.events)
        yield Default(rest.sources, events, rest.policy, rest.note)
    left: dict[tuple[str, Policy], list[str]] = {}
    for (state, event), policy in table.defaults():
        left.setdefault((state, policy), []).append(event.__name__)
    for (state, policy), names in left.items():
        yield Default((state,), tuple(names), policy, "all that is left")


def titled(name: str, note: str) -> str:
    """The name and what it means, if that is said."""
    return f"{name}: {note}" if note else name


def identifier(name: str) -> str:
    """The name with an underscore for all that is neither letter nor digit."""
    return re.sub(r"\W", "_", name)


def _rule(row: Any, internal: tuple[type[Event], ...], guards: bool) -> Rule:
    guard = _name(row.when) if guards else ""
    label = Label(row.event.__name__, guard, internal=row.event in internal)
    target = "" if row.target == STAY else row.target
    return Rule(row.sources, label, target, _name(row.do), row.note)


def _name(function: Callable[..., Any] | None) -> str:
    name = name_of(function) if function is not None else ""
    return "…" if name == "<lambda>" else name


def _ids(names: list[str]) -> dict[str, str]:
    ids: dict[str, str] = {}
    for name in names:
        slug = identifier(name)
        while slug in ids.values():
            slug += "_"
        ids[name] = slug
    return ids


class _Spelling:
    """Stands in for a model, to learn which setting a time-out reads."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def __getattr__(self, name: str) -> "_Spelling":
        return _Spelling(name)


def _timeout(after: After[Any]) -> Timeout:
    read: Any = after.seconds
    if callable(after.seconds):
        try:
            read = after.seconds(_Spelling())
        except Exception:  # computed, not just read: then its name must do
            read = _Spelling(_name(after.seconds))
    spelt = read.name if isinstance(read, _Spelling) else f"{read:g} s"
    return Timeout(spelt, type(after.event).__name__)
