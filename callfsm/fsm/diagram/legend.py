"""The legend of a picture: only the signs that it uses, in as many lines as they need."""

from collections.abc import Callable, Iterator

from callfsm.fsm.diagram.graph import Graph
from callfsm.fsm.diagram.layout import MARGIN, NOTE_CHAR, Drawing
from callfsm.fsm.diagram.looks import LOOKS
from callfsm.fsm.diagram.signs import again, clock, rect, stays

LINE, SIGN, SPACE = 22, 20, 20  # height of a line, width of a sign, space between two entries

Sign = Callable[[int, int], str]


class Legend:
    """Laid out below `drawing`: its SVG as `lines`, and the `height` that it adds."""

    def __init__(self, graph: Graph, drawing: Drawing) -> None:
        self.lines: list[str] = []
        x, y = MARGIN, drawing.height + 2 * LINE
        for sign, text in _entries(graph):
            width = SIGN + int(len(text) * NOTE_CHAR)
            if x > MARGIN and x + width > drawing.width - MARGIN:
                x, y = MARGIN, y + LINE
            words = f'<text class="prose" x="{x + SIGN}" y="{y}">{text}</text>'
            self.lines.append(sign(x + 7, y - 4) + words)
            x += width + SPACE
        self.height = y + LINE - drawing.height


def _entries(graph: Graph) -> Iterator[tuple[Sign, str]]:
    """Sign and text of each entry."""
    looks = {node.look for node in graph.nodes}
    for look, colours in LOOKS.items():
        if look in looks:
            yield _swatch(look), colours.legend
    inner = [rule for node in graph.nodes for rule in graph.inner(node)]
    if any(rule.again for rule in inner):
        yield again, "leaves and enters the state again"
    if any(not rule.again for rule in inner):
        yield stays, "stays in the state"
    if any(node.timeout for node in graph.nodes):
        yield clock, "time-out"
    if any(rule.label.guard for rule in graph.rules):
        yield _letters("[]", "guard"), "only if this holds"
    if any(rule.label.internal for rule in graph.rules):
        yield _letters("Ab", "internal"), "raised by the machine itself"


def _swatch(look: str) -> Sign:
    return lambda x, y: f'<g class="state {look}">{rect(x - 7, y - 6, 14, 12, 3)}</g>'


def _letters(letters: str, kind: str) -> Sign:
    return lambda x, y: (
        f'<text x="{x}" y="{y + 4}" text-anchor="middle">'
        f'<tspan class="{kind}">{letters}</tspan></text>'
    )
