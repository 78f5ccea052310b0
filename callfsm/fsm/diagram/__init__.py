"""Draw a table: definition -> neutral graph -> Mermaid, Markdown or SVG.

All three say the same; none needs anything that is not in the standard library, so a fresh machine
can check that committed diagrams are up to date. The same table gives the same bytes everywhere.
"""

from enum import StrEnum
from typing import Any

from callfsm.fsm.diagram.graph import Show, graph_of
from callfsm.fsm.diagram.markdown import to_markdown
from callfsm.fsm.diagram.mermaid import to_mermaid
from callfsm.fsm.diagram.svg import to_svg
from callfsm.fsm.table import Table

__all__ = ["Format", "Show", "picture_of", "render"]

EVERYTHING = Show()


class Format(StrEnum):
    """What a diagram can be written as; the values are what a command line calls them."""

    SVG = "svg"
    MERMAID = "mermaid"
    MARKDOWN = "md"

    @property
    def suffix(self) -> str:
        """The file name's ending, with its dot."""
        return ".mmd" if self is Format.MERMAID else f".{self.value}"


def render(
    table: Table[Any], as_: Format, show: Show = EVERYTHING, picture: str | None = None
) -> str:
    """The table as the text of one file, ending in a newline.

    Markdown opens with `picture`, itself Markdown (see `picture_of`); without it, with Mermaid.
    Policies are shown in Markdown and not in the pictures, unless `show` says otherwise.
    Raises TableError when the table is wrong.
    """
    graph = graph_of(table, show, policies=as_ is Format.MARKDOWN)
    match as_:
        case Format.SVG:
            return to_svg(graph)
        case Format.MERMAID:
            return to_mermaid(graph)
        case Format.MARKDOWN:
            return to_markdown(graph, picture or picture_of(table, show))


def picture_of(table: Table[Any], show: Show = EVERYTHING, svg: str | None = None) -> str:
    """A picture of the table in Markdown: the file at the address `svg`, or else Mermaid."""
    if svg is not None:
        return f"![{table.note}]({svg})"
    return f"```mermaid\n{render(table, Format.MERMAID, show)}```"
