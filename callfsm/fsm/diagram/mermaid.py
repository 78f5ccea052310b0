"""A graph as a Mermaid state diagram, which GitHub draws wherever it shows Markdown."""

from collections.abc import Iterator

from callfsm.fsm.diagram.graph import Graph, Node
from callfsm.fsm.diagram.looks import LOOKS
from callfsm.fsm.table import Kind

# Words that Mermaid's grammar takes for itself, so no state may have them as its identifier.
RESERVED = {"as", "class", "classdef", "default", "direction", "end", "note", "state", "style"}


def to_mermaid(graph: Graph) -> str:
    """The text of a `.mmd` file: front matter with the title, then `stateDiagram-v2`."""
    return "\n".join(_lines(graph)) + "\n"


def _lines(graph: Graph) -> Iterator[str]:
    yield from ("---", f"title: {_quoted(graph.title)}", "---")
    yield from ("stateDiagram-v2", "    direction TB")
    for node in graph.nodes:
        yield f'    state "{_text(node.name)}" as {_id(node)}'
        for line in _inside(graph, node):
            yield f"    {_id(node)} : {_text(line)}"
    yield f"    [*] --> {_id(graph.nodes[0])}"
    for edge in graph.edges():
        labels = "<br>".join(str(label) for label in edge.labels)
        yield f"    {_id(edge.source)} --> {_id(edge.target)} : {labels}"
    for node in graph.nodes:
        if node.kind is Kind.FINAL:
            yield f"    {_id(node)} --> [*]"
    for look, colours in LOOKS.items():
        nodes = [_id(node) for node in graph.nodes if node.look == look]
        if nodes:
            style = f"fill:{colours.fill},stroke:{colours.line},color:{colours.text}"
            yield f"    classDef {look} {style}"
            yield f"    class {','.join(nodes)} {look}"


def _inside(graph: Graph, node: Node) -> Iterator[str]:
    if node.timeout:
        yield f"after {node.timeout.after}, {node.timeout.event}"
    for inner in graph.inner(node):
        yield f"{'↻' if inner.again else '•'} {inner.label}"
    for policy, events in graph.policies_of(node).items():
        yield f"{policy.value}s {', '.join(events)}"


def _id(node: Node) -> str:
    return f"{node.id}_" if node.id.lower() in RESERVED else node.id


def _text(text: str) -> str:
    """Escaped: Mermaid ends a description at a colon or semicolon, and a name at a quote."""
    escapes = {"#": "#35;", ":": "#58;", ";": "#59;", '"': "#34;"}
    return "".join(escapes.get(character, character) for character in text)


def _quoted(text: str) -> str:
    """As a YAML string, since a bare title may hold a colon."""
    return "'" + text.replace("'", "''") + "'"
