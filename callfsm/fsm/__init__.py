"""State machines as tables, run as actors: the public names of the library, in one place.

docs/library.md shows all of them by example. Where actors run is `callfsm.runtimes`, how they are
drawn `callfsm.fsm.diagram`.
"""

from callfsm.errors import CallfsmError
from callfsm.fsm.actor import Actor, MailboxFull, Observer
from callfsm.fsm.backoff import growing_wait_s
from callfsm.fsm.dead_letters import DeadLetters
from callfsm.fsm.lint import TableError, check
from callfsm.fsm.machine import STATE_TIMER, EndlessTurn, Machine, Step, Turn, UnexpectedEvent
from callfsm.fsm.reply import Answer, NoAnswer, Question, Reply
from callfsm.fsm.runtime import Runtime
from callfsm.fsm.supervisor import Escalated, Strategy, Supervisor
from callfsm.fsm.table import (
    STAY,
    After,
    CancelTimer,
    Effect,
    Effects,
    Event,
    Kind,
    Policy,
    Raise,
    Rest,
    Row,
    RowOf,
    SetTimer,
    State,
    Table,
)

__all__ = [
    "STATE_TIMER",
    "STAY",
    "Actor",
    "After",
    "Answer",
    "CallfsmError",
    "CancelTimer",
    "DeadLetters",
    "Effect",
    "Effects",
    "EndlessTurn",
    "Escalated",
    "Event",
    "Kind",
    "Machine",
    "MailboxFull",
    "NoAnswer",
    "Observer",
    "Policy",
    "Question",
    "Raise",
    "Reply",
    "Rest",
    "Row",
    "RowOf",
    "Runtime",
    "SetTimer",
    "State",
    "Step",
    "Strategy",
    "Supervisor",
    "Table",
    "TableError",
    "Turn",
    "UnexpectedEvent",
    "check",
    "growing_wait_s",
]
