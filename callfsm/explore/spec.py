"""A way through a system as a spec: `given_a_system(...).when(...).then_nothing_is_wrong()`.

A breach is printed as such a spec, with what the machines do at each step beside it. It fails as
long as the machines do that, and is kept when they no longer do.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Self

from callfsm.call.table import CALL as CALL_TABLE
from callfsm.explore.choices import ANYTHING, Choice, Move, TimeOut
from callfsm.explore.search import Breach
from callfsm.explore.surroundings import CALL, INFERENCE, LINK
from callfsm.explore.system import MACHINES, Machines, begin, end, happen
from callfsm.fsm.machine import Machine, Step
from callfsm.fsm.table import Table
from callfsm.inference.table import INFERENCE as INFERENCE_TABLE
from callfsm.link.table import LINK as LINK_TABLE

TABLES = {
    CALL: "callfsm.call.table:CALL",
    INFERENCE: "callfsm.inference.table:INFERENCE",
    LINK: "callfsm.link.table:LINK",
}


class Way:
    """What happened so far. Where a machine does not let the next choice come up, the way ends."""

    def __init__(self, machines: Machines, looks: bool) -> None:
        self._machines = machines
        self._system = begin(machines, replace(ANYTHING, looks=looks))
        self._trace: list[str] = []
        self._goes_on = True

    def when(self, choice: Choice | TimeOut) -> Self:
        """This happens, and every actor handles its mail."""
        self._go(Move(choice))
        return self

    def at_once(self, choice: Choice | TimeOut) -> Self:
        """This happens, and the next thing before anybody saw it."""
        self._go(Move(choice, seen=False))
        return self

    def then_nothing_is_wrong(self) -> None:
        """None of the rules is broken, even if nothing more comes from outside."""
        __tracebackhide__ = True
        end(self._system, self._machines)
        if self._system.problems:
            raise AssertionError("\n".join([self._system.problems[0], *self._trace]))

    def _go(self, move: Move) -> None:
        self._goes_on = self._goes_on and move.choice in set(self._system.choices())
        if self._goes_on and not self._system.problems:
            steps = happen(self._system, self._machines, move)
            self._trace += [f"  {move}", *(f"      {line}" for line in _told(steps))]


def given_a_system(
    *,
    call: Table[Any] = CALL_TABLE,
    inference: Table[Any] = INFERENCE_TABLE,
    link: Table[Any] = LINK_TABLE,
    looks: bool = False,
) -> Way:
    """A call that nobody heard of, an inference actor that is ready, and a link.

    With `looks` windows are looked at while they grow.
    """
    return Way({CALL: Machine(call), INFERENCE: Machine(inference), LINK: Machine(link)}, looks)


def spec_of(
    breach: Breach, machines: Machines = MACHINES, tables: Mapping[str, str] = TABLES
) -> str:
    """The text of a pytest file that fails as long as there is this breach.

    `tables` says, as MODULE:NAME, where the spec finds the table of each of the `machines`.
    """
    system = begin(machines, replace(ANYTHING, looks=breach.looks))
    lines = []
    for move in breach.path:
        steps = happen(system, machines, move)
        lines.append(_line(move))
        lines += [f"# {told}" for told in _told(steps)]
    given = ", ".join(f"{actor}={place.partition(':')[2]}" for actor, place in tables.items())
    given += ", looks=True" if breach.looks else ""
    kinds = "Choice, TimeOut" if "TimeOut(" in "".join(lines) else "Choice"
    places = [
        *(tuple(place.split(":")) for place in tables.values()),
        ("callfsm.explore.choices", kinds),
        ("callfsm.explore.spec", "given_a_system"),
    ]
    imports = "\n".join(f"from {module} import {what}" for module, what in sorted(places))
    name = re.sub(r"\W+", "_", breach.problem.partition(":")[0]).strip("_")
    way = "\n        ".join(lines)
    return f'''"""{breach.problem[0].upper()}{breach.problem[1:]}.

Found by `callfsm explore`; no shorter way leads there.
"""

{imports}


def test_{name}() -> None:
    """Never {breach.problem}."""
    (
        given_a_system({given})
        {way}
        .then_nothing_is_wrong()
    )
'''


def _line(move: Move) -> str:
    if isinstance(move.choice, TimeOut):
        what = f'TimeOut("{move.choice.actor}", "{move.choice.timer}")'
    else:
        what = f"Choice.{move.choice.name}"
    return f".{'when' if move.seen else 'at_once'}({what})"


def _told(steps: Iterable[tuple[str, Step]]) -> Iterable[str]:
    return (f"{actor}: {step}" for actor, step in steps)
