"""A graph as one SVG file that needs nothing: fills, fonts and legend are all in it.

Every state is a group `state-NAME`, every edge a group `edge-SOURCE-TARGET`, so that a page which
holds the picture can mark the state a call is in (class `current`) and the edge it took (`last`);
`live` has the data.
"""

from collections.abc import Iterator, Sequence
from html import escape

from callfsm.fsm.diagram.graph import Graph, Label
from callfsm.fsm.diagram.layout import (
    INDENT,
    LABEL_PX,
    LINE,
    MARGIN,
    NAME_PX,
    PADDING,
    Box,
    Drawing,
    Text,
    Wire,
    lay_out,
)
from callfsm.fsm.diagram.legend import Legend
from callfsm.fsm.diagram.looks import LIVE, LOOKS
from callfsm.fsm.diagram.signs import again, clock, rect, stays

CODE = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
PROSE = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"
CORNER = 9  # radius of a bend


def to_svg(graph: Graph) -> str:
    """The text of a `.svg` file."""
    drawing = lay_out(graph)
    return "\n".join(_lines(graph, drawing)) + "\n"


def _lines(graph: Graph, drawing: Drawing) -> Iterator[str]:
    legend = Legend(graph, drawing)
    width, height = drawing.width, drawing.height + legend.height
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" class="fsm" {size} role="img">'
    yield f"<title>{escape(graph.title)}</title>"
    yield f"<style>\n{_style()}\n</style>"
    yield f'<rect class="paper" width="{width}" height="{height}" rx="8"/>'
    yield f'<text class="title" x="{MARGIN}" y="36">{escape(graph.name)}</text>'
    yield f'<text class="prose" x="{MARGIN}" y="56">{escape(graph.note)}</text>'
    for wire in drawing.wires:
        yield from _wire(wire)
    yield from _start(drawing.boxes[0])
    for box in drawing.boxes:
        yield from _box(box)
    yield from legend.lines
    yield "</svg>"


def _style() -> str:
    rules = [
        ".fsm .paper { fill: #ffffff; stroke: #d1d5db; }",
        f".fsm text {{ font: {LABEL_PX}px {CODE}; fill: #1f2937; }}",
        f".fsm .title {{ font: bold 20px {PROSE}; }}",
        f".fsm .prose {{ font: {LABEL_PX}px {PROSE}; fill: #4b5563; }}",
        f".fsm .name {{ font-size: {NAME_PX}px; font-weight: bold; }}",
        ".fsm .guard { fill: #7c3aed; }",
        ".fsm .internal { font-style: italic; }",
        ".fsm .timeout { fill: #b45309; }",
        ".fsm .sign { fill: none; stroke: #6b7280; stroke-width: 1.3; }",
        ".fsm .timeout-sign { stroke: #b45309; }",
        ".fsm .line { fill: none; stroke: #4b5563; stroke-width: 1.4; }",
        ".fsm .head { fill: #4b5563; }",
        ".fsm .state rect { stroke-width: 1.6; }",
        ".fsm .passing rect { stroke-dasharray: 6 3; }",
    ]
    for look, colours in LOOKS.items():
        rules.append(f".fsm .{look} rect {{ fill: {colours.fill}; stroke: {colours.line}; }}")
        rules.append(f".fsm .{look} .name {{ fill: {colours.text}; }}")
        rules.append(f".fsm .{look} .parting {{ stroke: {colours.line}; opacity: 0.35; }}")
    rules += [
        f".fsm .current rect {{ stroke: {LIVE}; stroke-width: 4; }}",
        f".fsm .last .line {{ stroke: {LIVE}; stroke-width: 3; }}",
        f".fsm .last .head {{ fill: {LIVE}; }}",
    ]
    return "\n".join(rules)


def _box(box: Box) -> Iterator[str]:
    node, middle = box.node, box.x + box.width // 2
    yield f'<g class="state {node.look}" id="state-{node.id}">'
    yield f"<title>{escape(node.title)}</title>"
    yield rect(box.x, box.y, box.width, box.height)
    if node.look == "final":
        yield rect(box.x + 4, box.y + 4, box.width - 8, box.height - 8)
    if box.parting_y is not None:
        start, length = f"{box.x + PADDING} {box.parting_y}", box.width - 2 * PADDING
        yield f'<path class="parting" d="M{start}h{length}"/>'
    for text in box.texts:
        if text.kind in ("name", "note"):
            kind = "name" if text.kind == "name" else "prose"
            at = f'x="{middle}" y="{text.y}" text-anchor="middle"'
            yield f'<text class="{kind}" {at}>{escape(text.text)}</text>'
        else:
            yield from _entry(text, box.x + PADDING)
    yield "</g>"


def _entry(text: Text, x: int) -> Iterator[str]:
    """A line below the head of a state: a time-out, an inner rule or a policy."""
    if text.kind == "policy":
        yield f'<text class="prose" x="{x}" y="{text.y}">{escape(text.text)}</text>'
        return
    centre_y = text.y - 4
    if text.inner is None:
        yield clock(x + 5, centre_y)
        words = f'<tspan class="timeout">{escape(text.text)}</tspan>'
    else:
        yield again(x + 5, centre_y) if text.inner.again else stays(x + 5, centre_y)
        words = _label(text.inner.label)
    yield f'<text x="{x + INDENT}" y="{text.y}">{words}</text>'


def _wire(wire: Wire) -> Iterator[str]:
    edge = wire.edge
    yield f'<g class="edge" id="{edge.id}">'
    labels = "; ".join(str(label) for label in edge.labels)
    yield f"<title>{escape(f'{edge.source.name} to {edge.target.name}: {labels}')}</title>"
    yield from _arrow(wire.points)
    first_y = wire.label_y - (len(edge.labels) - 1) * LINE
    for number, label in enumerate(edge.labels):
        at = f'x="{wire.label_x}" y="{first_y + number * LINE}" text-anchor="{wire.anchor}"'
        yield f"<text {at}>{_label(label)}</text>"
    yield "</g>"


def _label(label: Label) -> str:
    kind = ' class="internal"' if label.internal else ""
    guard = f' <tspan class="guard">[{escape(label.guard)}]</tspan>' if label.guard else ""
    return f"<tspan{kind}>{escape(label.event)}</tspan>{guard}"


def _arrow(points: Sequence[tuple[int, int]]) -> Iterator[str]:
    """A line through the points with round bends, and a head at its end."""
    (x, y), (before_x, before_y) = points[-1], points[-2]
    along_x, along_y = _sign(x - before_x), _sign(y - before_y)
    back_x, back_y = x - 9 * along_x, y - 9 * along_y
    path = f"M{points[0][0]} {points[0][1]}"
    for before, bend, after in zip(points, points[1:], points[2:], strict=False):
        to, away = _towards(bend, before), _towards(bend, after)
        path += f"L{to[0]} {to[1]}Q{bend[0]} {bend[1]} {away[0]} {away[1]}"
    yield f'<path class="line" d="{path}L{back_x} {back_y}"/>'
    wide_x, wide_y = 4 * along_y, 4 * along_x
    yield (
        f'<path class="head" d="M{x} {y}L{back_x + wide_x} {back_y + wide_y}'
        f'L{back_x - wide_x} {back_y - wide_y}Z"/>'
    )


def _towards(bend: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    """The point on the way from a bend to the next, where the round part ends."""
    return (
        bend[0] + CORNER * _sign(other[0] - bend[0]),
        bend[1] + CORNER * _sign(other[1] - bend[1]),
    )


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)


def _start(box: Box) -> Iterator[str]:
    x = box.x + box.width // 2
    yield '<g class="start">'
    yield from _arrow(((x, box.y - 22), (x, box.y)))
    yield f'<circle class="head" cx="{x}" cy="{box.y - 22}" r="6"/>'
    yield "</g>"
