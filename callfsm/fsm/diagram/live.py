"""What a machine does now, as data by which a page colours its SVG.

Every `id` here is one in the drawing of the same table: a state's, or the edge's that a row is
drawn on (a row that leads nowhere else is drawn inside its state). A page gives the element of
`state` the class `current` and that of `edge` the class `last`, and moves the edge's element behind
its siblings, so that no other line of the same lane lies on it. The drawing has the colours.
"""

import json
from collections import Counter
from typing import Any

from callfsm.fsm.actor import Actor
from callfsm.fsm.diagram.graph import Show, graph_of
from callfsm.fsm.machine import Step, Turn
from callfsm.fsm.table import STAY, Row, Table


class Live:
    """Counts what one actor does, as one of its `observers`: the state it is in, the last edge.

    Of all models of a machine together, when `see` is one of the machine's `observers`: then the
    state is that of whichever moved last. Raises TableError when the table is wrong.
    """

    def __init__(self, table: Table[Any]) -> None:
        graph = graph_of(table, Show(), policies=False)
        self._table = table
        self._states = {node.name: f"state-{node.id}" for node in graph.nodes}
        self._edges = {(e.source.name, e.target.name): e.id for e in graph.edges()}
        self._state = table.initial
        self._edge: str | None = None
        self._rows: Counter[tuple[str, int]] = Counter()  # by source and identity of the row
        self._moves: Counter[str] = Counter()  # by edge
        self._policies: Counter[tuple[str, str, str]] = Counter()  # by state, event and policy

    def __call__(self, actor: Actor[Any], turn: Turn) -> None:
        for step in turn.steps:
            self.see(step)
        self._state = actor.model.state

    def see(self, step: Step) -> None:
        """Count one step."""
        self._state = step.target
        if step.policy is not None:
            self._policies[step.source, type(step.event).__name__, step.policy.value] += 1
            return
        self._rows[step.source, id(step.row)] += 1
        edge = self._edges.get((step.source, step.target))
        if edge is not None:
            self._edge = edge
            self._moves[edge] += 1

    def data(self) -> dict[str, Any]:
        """`state` and `edge` (None before the first) are ids; rows never taken count 0."""
        return {
            "machine": self._table.name,
            "state": self._states[self._state],
            "edge": self._edge,
            "edges": {edge: self._moves[edge] for edge in self._edges.values()},
            "rows": [
                {
                    "id": self._drawn(source, row),
                    "state": source,
                    "row": str(row),
                    "count": self._rows[source, id(row)],
                }
                for row in self._table.rows
                for source in row.sources
            ],
            "policies": [
                {
                    "id": self._states[state],
                    "state": state,
                    "event": event,
                    "policy": policy,
                    "count": n,
                }
                for (state, event, policy), n in self._policies.items()
            ],
        }

    def json(self) -> str:
        """`data` as one line of JSON."""
        return json.dumps(self.data())

    def _drawn(self, source: str, row: Row[Any, Any]) -> str:
        target = source if row.target == STAY else row.target
        return self._edges.get((source, target), self._states[source])
