"""The machines with what exploration found put right, until the tables themselves are.

Each repair has its counter-example in test_explore.py, marked as failing.
"""

from collections.abc import Iterator
from dataclasses import replace

from callfsm.call import events as ev
from callfsm.call import handlers as do
from callfsm.call.call import Call
from callfsm.call.table import CALL as CALL_TABLE
from callfsm.explore.surroundings import CALL, INFERENCE, LINK
from callfsm.explore.system import MACHINES
from callfsm.fsm.machine import Machine
from callfsm.fsm.table import Effect, Policy, Rest, SetTimer
from callfsm.link import events as lnk
from callfsm.link.table import LINK as LINK_TABLE


def give_up_window(call: Call, event: ev.InferenceFailed | ev.InferenceOverdue) -> Iterator[Effect]:
    """Words held back for the window that is given up must not wait for the next one."""
    yield from do.give_up_window(call, event)
    if call.merger.held and not call.draining:
        yield SetTimer(do.HELD, call.settings.held_words_s, ev.HeldWordsElapsed())


REPAIRED_CALL = replace(
    CALL_TABLE,
    rows=tuple(
        replace(row, do=give_up_window) if row.do is do.give_up_window else row
        for row in CALL_TABLE.rows
    ),
)

REPAIRED_LINK = replace(
    LINK_TABLE,
    rest=(
        *(
            replace(rest, events=tuple(e for e in rest.events if e is not lnk.Lost))
            if set(rest.sources) <= {"disconnected", "connecting"}
            else rest
            for rest in LINK_TABLE.rest
        ),
        Rest(
            ("disconnected", "connecting"),
            (lnk.Lost,),
            Policy.IGNORE,
            "of the connection that we have just dropped",
        ),
    ),
)

REPAIRED = {
    CALL: Machine(REPAIRED_CALL),
    INFERENCE: MACHINES[INFERENCE],
    LINK: Machine(REPAIRED_LINK),
}
