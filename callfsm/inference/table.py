"""The inference actor: one queue, and a pool of contexts that serve it.

Calls never touch a model; they submit requests here and are answered. With one context the actor
serialises, with several it pools. What the contexts are (whisper.cpp, CTranslate2, a fake) is the
business of whoever carries out `LoadContext` and `RunBatch`.
"""

from callfsm.fsm.machine import Machine
from callfsm.fsm.table import STAY, Kind, Policy, Rest, Row, RowOf, State, Table
from callfsm.inference import events as ev
from callfsm.inference import pool as do
from callfsm.inference.pool import Pool

STATES: tuple[State[Pool], ...] = (
    State(
        "loading",
        "no context is ready yet; requests wait",
        enter=do.load_all,
        waits_forever=True,
    ),
    State("serving", "contexts take requests, most urgent first", waits_forever=True),
    State("stopping", "what runs is finished, the rest is refused", waits_forever=True),
    State("broken", "no context could be loaded", waits_forever=True),
    State("stopped", "every context is freed", Kind.FINAL, enter=do.close_all),
)

ROWS: tuple[RowOf[Pool], ...] = (
    Row("loading", ev.Submitted, STAY, do.queue),
    Row("loading", ev.ContextReady, "serving", do.admit_first),
    Row("loading", ev.ContextFailed, STAY, do.set_aside),
    Row("loading", ev.NoneLeft, "broken"),
    Row("serving", ev.Submitted, STAY, do.queue),
    Row("serving", ev.ContextReady, STAY, do.admit),
    Row("serving", ev.BatchDone, STAY, do.answer),
    Row("serving", ev.BatchFailed, STAY, do.answer_failure, note="and load the context anew"),
    Row("serving", ev.ContextFailed, STAY, do.reload_later, note="with back-off"),
    Row("serving", ev.ReloadDue, STAY, do.reload),
    Row(("loading", "serving"), ev.Withdrawn, STAY, do.withdraw),
    Row(("loading", "serving"), ev.StopRequested, "stopping", do.stop),
    Row("stopping", ev.Submitted, STAY, do.refuse),
    Row("stopping", ev.BatchDone, STAY, do.finish),
    Row("stopping", ev.BatchFailed, STAY, do.finish),
    Row("stopping", ev.Withdrawn, STAY, do.withdraw),
    Row("stopping", ev.AllIdle, "stopped"),
    Row("broken", ev.Submitted, STAY, do.refuse),
    Row("broken", ev.StopRequested, "stopped"),
)

EVERY_EVENT = (
    ev.Submitted,
    ev.Withdrawn,
    ev.ContextReady,
    ev.ContextFailed,
    ev.BatchDone,
    ev.BatchFailed,
    ev.ReloadDue,
    ev.StopRequested,
    ev.AllIdle,
    ev.NoneLeft,
)

REST = (
    Rest("loading", (ev.BatchDone, ev.BatchFailed, ev.ReloadDue), Policy.REJECT, "nothing runs"),
    Rest(("loading", "serving", "broken"), (ev.AllIdle,), Policy.REJECT, "internal to stopping"),
    Rest(("serving", "stopping", "broken"), (ev.NoneLeft,), Policy.REJECT, "internal to loading"),
    Rest("stopping", (ev.StopRequested,), Policy.IGNORE, "asked already"),
    Rest(
        "stopping",
        (ev.ContextReady, ev.ContextFailed, ev.ReloadDue),
        Policy.IGNORE,
        "a context that comes too late",
    ),
    Rest(
        "broken",
        (ev.ContextReady, ev.ContextFailed, ev.BatchDone, ev.BatchFailed, ev.ReloadDue),
        Policy.REJECT,
        "no context is left that could send it",
    ),
    Rest("broken", (ev.Withdrawn,), Policy.IGNORE, "nothing waits"),
    Rest("stopped", EVERY_EVENT, Policy.IGNORE, "the actor is gone"),
)

INFERENCE = Table(
    name="inference",
    note="the shared inference actor: one queue, a pool of contexts",
    initial="loading",
    states=STATES,
    rows=ROWS,
    rest=REST,
    internal=(ev.AllIdle, ev.NoneLeft),
)

inference_machine: Machine[Pool] = Machine(INFERENCE)
