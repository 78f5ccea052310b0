"""Where everything of a picture goes: the states in one column, in the order of declaration.

    lanes │ gutter │ state │ gutter │ lanes
      ┌───┤ label ─┤       │
      │            └───┬───┘
      │                │ label           a step to the next state goes straight down,
      │            ┌───┴───┐
      └───────────►│       ├─ label ─┐   a jump ahead leaves on the right, a way back on the left
                               │

Labels stand in gutters where only their own lines run, and jumps that lead to the same state share
a lane; so whatever the machine, nothing is ever written over anything else. Lengths are in pixels.
"""

import textwrap
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

from callfsm.fsm.diagram.graph import Edge, Graph, Inner, Label, Node

LABEL_PX, NAME_PX = 12, 15  # font sizes
LABEL_CHAR, NAME_CHAR, NOTE_CHAR = 7.3, 9.1, 6.2  # widths: monospaced 0.6 em, prose at most 0.52 em
LINE, NAME_LINE = 17, 22  # heights of a line
MARGIN, PADDING = 28, 14
LANE = 18  # between two lanes
STEP_LABEL = 12  # from a straight line to its label
PORT = 24  # height that an incoming line takes of a state's side
INDENT = 16  # of what stands behind a sign
MIN_WIDTH, MIN_GAP = 290, 46  # of a state, and below it
HEAD, MIN_TOTAL = 104, 600  # height of the title, and width of the picture


@dataclass(frozen=True, slots=True)
class Text:
    """One line inside a state; `y` is its baseline. `inner` is set for an inner rule."""

    kind: str  # name, note, timeout, inner or policy
    text: str
    y: int
    inner: Inner | None = None


@dataclass(frozen=True, slots=True)
class Box:
    """A state: its rectangle, the text in it, and where a line parts its head from the rest."""

    node: Node
    x: int
    y: int
    width: int
    height: int
    texts: tuple[Text, ...]
    parting_y: int | None


@dataclass(frozen=True, slots=True)
class Wire:
    """An edge: its corners, and its labels upward from `label_y` (the lowest baseline)."""

    edge: Edge
    points: tuple[tuple[int, int], ...]
    label_x: int
    label_y: int
    anchor: str  # start or end


@dataclass(frozen=True, slots=True)
class Drawing:
    """The whole picture; what stands below the last state (the legend) is not in its height."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    wires: tuple[Wire, ...]


class _Side:
    """The jumps on one side of the column: which lane each takes, and where it leaves and enters.

    `sign` is 1 on the right (jumps ahead) and -1 on the left (ways back). `overhang` is how far the
    labels of straight lines reach into the gutter.
    """

    def __init__(
        self, edges: list[Edge], rank: dict[Node, int], sign: int, overhang: int = 0
    ) -> None:
        self.sign = sign
        self.edges = edges
        self.lanes = _lanes(edges, rank)
        labels = [PADDING + _label_width(edge.labels) for edge in edges]
        self.gutter = max([overhang, *labels]) + PADDING

    @property
    def width(self) -> int:
        if not self.edges:
            return self.gutter - PADDING
        return self.gutter + LANE * max(self.lanes.values())

    def leaving(self, node: Node) -> list[Edge]:
        """The jumps from this state in order of height, so that they cross as little as can be."""
        found = [edge for edge in self.edges if edge.source is node]
        return sorted(found, key=lambda edge: -self.sign * self.lanes[edge.target])

    def height(self, node: Node) -> int:
        exits = sum(_exit_height(edge) for edge in self.leaving(node))
        return exits + (PORT if node in self.lanes else 0)

    def wires(self, boxes: dict[Node, Box]) -> list[Wire]:
        """The jumps drawn, once the states have their places."""
        exits: dict[str, int] = {}
        entries: dict[Node, int] = {}
        for node, box in boxes.items():
            y = box.y + (box.height - self.height(node)) // 2
            if node in self.lanes:  # from above on the right, from below on the left
                on_top = self.sign > 0
                entries[node] = y + PORT // 2 if on_top else y + self.height(node) - PORT // 2
                y += PORT if on_top else 0
            for edge in self.leaving(node):
                y += _exit_height(edge)
                exits[edge.id] = y - 4
        return [self._wire(edge, boxes, exits[edge.id], entries) for edge in self.edges]

    def _wire(
        self, edge: Edge, boxes: dict[Node, Box], leaves_y: int, entries: dict[Node, int]
    ) -> Wire:
        box = boxes[edge.source]
        border = box.x + box.width if self.sign > 0 else box.x
        lane = border + self.sign * (self.gutter + LANE * self.lanes[edge.target])
        enters_y = entries[edge.target]
        points = ((border, leaves_y), (lane, leaves_y), (lane, enters_y), (border, enters_y))
        anchor = "start" if self.sign > 0 else "end"
        return Wire(edge, points, border + self.sign * PADDING, leaves_y - 5, anchor)


def lay_out(graph: Graph) -> Drawing:
    """Place the states and route the edges."""
    rank = {node: number for number, node in enumerate(graph.nodes)}
    steps = {e.source: e for e in graph.edges() if rank[e.target] == rank[e.source] + 1}
    jumps = [edge for edge in graph.edges() if edge not in steps.values()]
    width = max(_width(graph, node) for node in graph.nodes)
    reach = [STEP_LABEL + _label_width(step.labels) - width // 2 for step in steps.values()]
    overhang = max([0, *reach])
    right = _Side([e for e in jumps if rank[e.target] > rank[e.source]], rank, 1, overhang)
    left = _Side([e for e in jumps if rank[e.target] < rank[e.source]], rank, -1)

    needed = MARGIN + left.width + width + right.width + MARGIN
    titles = 2 * MARGIN + ceil(len(graph.note) * NOTE_CHAR)
    total = max(needed, titles, MIN_TOTAL)
    x = (total - needed) // 2 + MARGIN + left.width
    boxes: dict[Node, Box] = {}
    y = HEAD
    for node in graph.nodes:
        texts, parting_y, height = _texts(graph, node, y, width)
        height = max(height, left.height(node) + PADDING, right.height(node) + PADDING)
        boxes[node] = Box(node, x, y, width, height, texts, parting_y)
        y += height + _gap(steps.get(node))

    straight = [_straight(steps[a], boxes[a], boxes[b]) for a, b in pairwise(boxes) if a in steps]
    wires = [*straight, *left.wires(boxes), *right.wires(boxes)]
    last = boxes[graph.nodes[-1]]
    return Drawing(total, last.y + last.height, tuple(boxes.values()), tuple(wires))


def wrap(text: str, width: int) -> list[str]:
    """Prose as lines of at most `width` pixels."""
    return textwrap.wrap(text, max(8, int(width / NOTE_CHAR)))


def _texts(
    graph: Graph, node: Node, top: int, width: int
) -> tuple[tuple[Text, ...], int | None, int]:
    """What stands in a state, the y of the line below its head (if needed), and its height."""
    y = top + PADDING + NAME_PX - 2
    texts = [Text("name", node.name, y)]
    y += NAME_LINE - LINE
    for line in wrap(node.note, width - 2 * PADDING):
        y += LINE
        texts.append(Text("note", line, y))
    below = _below(graph, node, width)
    parting_y = y + 10 if below else None
    y += 10 if below else 0
    for kind, line, inner in below:
        y += LINE
        texts.append(Text(kind, line, y, inner))
    return tuple(texts), parting_y, y + PADDING - top


def _below(graph: Graph, node: Node, width: int) -> list[tuple[str, str, Inner | None]]:
    lines: list[tuple[str, str, Inner | None]] = []
    if node.timeout:
        lines.append(("timeout", f"{node.timeout.after}: {node.timeout.event}", None))
    lines += [("inner", str(inner.label), inner) for inner in graph.inner(node)]
    for policy, events in graph.policies_of(node).items():
        wrapped = wrap(f"{policy.value}s {', '.join(events)}", width - 2 * PADDING)
        lines += [("policy", line, None) for line in wrapped]
    return lines


def _width(graph: Graph, node: Node) -> int:
    below = [text for kind, text, _ in _below(graph, node, MIN_WIDTH) if kind != "policy"]
    widest = max((len(text) * LABEL_CHAR + INDENT for text in below), default=0)
    return max(MIN_WIDTH, 2 * PADDING + ceil(max(len(node.name) * NAME_CHAR, widest)))


def _label_width(labels: tuple[Label, ...]) -> int:
    return ceil(max(len(str(label)) for label in labels) * LABEL_CHAR)


def _exit_height(edge: Edge) -> int:
    return len(edge.labels) * LINE + 10


def _gap(step: Edge | None) -> int:
    return max(MIN_GAP, len(step.labels) * LINE + 28) if step else MIN_GAP


def _straight(edge: Edge, above: Box, below: Box) -> Wire:
    x = above.x + above.width // 2
    start, end = above.y + above.height, below.y
    label_y = (start + end + (len(edge.labels) - 1) * LINE) // 2
    return Wire(edge, ((x, start), (x, end)), x + STEP_LABEL, label_y, "start")


def _lanes(edges: list[Edge], rank: dict[Node, int]) -> dict[Node, int]:
    """The lane of each target, 0 innermost: short jumps inside, two in one lane never meeting."""
    spans: dict[Node, tuple[int, int]] = {}
    for edge in edges:
        ends = [rank[edge.source], *spans.get(edge.target, (rank[edge.target],) * 2)]
        spans[edge.target] = (min(ends), max(ends))
    lanes: dict[Node, int] = {}
    for target, (first, last) in sorted(spans.items(), key=lambda s: (s[1][1] - s[1][0], s[1])):
        taken = {lanes[t] for t, (a, b) in spans.items() if t in lanes and a <= last and first <= b}
        lanes[target] = min(set(range(len(spans))) - taken)
    return lanes
