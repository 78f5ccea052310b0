"""Keep the part of a README that shows a machine up to date, between its two marker comments."""

import re
from collections.abc import Mapping
from typing import Any

from callfsm.errors import ConfigError
from callfsm.fsm.diagram.graph import Show, graph_of
from callfsm.fsm.diagram.markdown import rows_table
from callfsm.fsm.table import Table

PART = re.compile(r"<!-- diagram:(\S+) -->(.*?)(<!-- /diagram -->|(?=<!-- diagram:)|\Z)", re.DOTALL)
CLOSING = "<!-- /diagram -->"


def block(
    table: Table[Any], picture: str, page: str | None = None, show: Show | None = None
) -> str:
    """What stands between the markers: the picture (Markdown), and the rows that move.

    `page` is the address of the machine's own page, named for all that is left out here.
    """
    graph = graph_of(table, show or Show(), policies=False)
    moves = [rule for rule in graph.rules if rule.target and {rule.target} != {*rule.sources}]
    more = f"The rows that stay, and the policy of every other pair: [{page}]({page})."
    return "\n\n".join([picture, rows_table(moves), *([more] if page else [])])


def with_blocks(readme: str, blocks: Mapping[str, str]) -> str:
    """`readme` with the block of every machine of that name put between its markers.

    A marker that names another machine is left alone. Raises ConfigError for a part that is not
    closed before the next one opens, or before the text ends.
    """

    def filled(part: re.Match[str]) -> str:
        name, closing = part[1], part[3]
        if not closing:
            raise ConfigError(f"<!-- diagram:{name} --> is not followed by {CLOSING}")
        if name not in blocks:
            return part[0]
        return f"<!-- diagram:{name} -->\n\n{blocks[name]}\n\n{CLOSING}"

    return PART.sub(filled, readme)
