"""Mistakes that somebody could make, twelve of them in the call machine; each must be found.

Every one is a whole table that passes the checks at definition.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from callfsm.call import effects as ask
from callfsm.call import events as ev
from callfsm.call import handlers as do
from callfsm.call.call import Call
from callfsm.call.table import BUSY, CALL
from callfsm.fsm.table import (
    STAY,
    CancelTimer,
    Effect,
    Event,
    Kind,
    Policy,
    Rest,
    Row,
    SetTimer,
    State,
    Table,
)
from callfsm.inference import events as inf
from callfsm.inference.pool import Pool, Worker
from callfsm.inference.table import INFERENCE
from callfsm.link import events as lnk
from callfsm.link.link import Link
from callfsm.link.table import LINK

AnyRow = Row[Call, Any]
Handler = Callable[[Call, Any], Iterable[Effect]]
ACCEPT = "accept"


def _rows(change: Callable[[AnyRow], AnyRow | None]) -> Table[Call]:
    """The call's table with every row as `change` has it; None drops the row."""
    rows = (change(row) for row in CALL.rows)
    return replace(CALL, rows=tuple(row for row in rows if row is not None))


def _row(event: type[Event], source: str, **changes: Any) -> Table[Call]:
    """The table with the rows of this pair changed."""

    def change(row: AnyRow) -> AnyRow:
        is_it = row.event is event and source in row.sources
        return replace(row, **changes) if is_it else row

    table = _rows(change)
    assert table != CALL
    return table


def _without(event: type[Event], source: str) -> Table[Call]:
    """The table without the rows of this pair: the event is ignored there."""
    table = _rows(lambda row: None if row.event is event and source in row.sources else row)
    assert table != CALL
    return replace(table, rest=(*table.rest, Rest(source, (event,), Policy.IGNORE, "forgotten")))


def _drain_and_keep_waiting(call: Call, event: Event) -> Iterator[Effect]:
    """`drain` that forgets to cancel the grace time."""
    for effect in do.drain(call, event):
        if effect != CancelTimer(do.GRACE):
            yield effect


def _read_no_more() -> Table[Call]:
    """The table whose handlers forget to resume reading."""

    def forgetful(handler: Handler) -> Handler:
        def act(call: Call, event: Any) -> Iterable[Effect]:
            effects = handler(call, event)
            return (one for one in effects if not isinstance(one, ask.ResumeReading))

        return act

    resuming = {do.begin, do.deduplicate, do.give_up_window, do.take_window}
    return _rows(lambda row: replace(row, do=forgetful(row.do)) if row.do in resuming else row)


def _closed_that_listens() -> Table[Call]:
    """`closed` is not the end any more, and takes audio."""
    closed = CALL.state("closed")
    taken = (ev.AudioReceived, ev.GiveUp)
    rest = tuple(
        replace(rest, events=tuple(e for e in rest.events if e not in taken))
        if rest.sources == ("closed",)
        else rest
        for rest in CALL.rest
    )
    rows: tuple[AnyRow, ...] = (
        Row("closed", ev.AudioReceived, STAY, do.hear),
        Row("closed", ev.GiveUp, "gone"),
    )
    return replace(
        CALL,
        states=(
            *(state for state in CALL.states if state is not closed),
            replace(closed, kind=Kind.WAITING, waits_forever=True),
            State("gone", "the end, now", Kind.FINAL),
        ),
        rows=(*CALL.rows, *rows),
        rest=(*rest, Rest("gone", CALL.events, Policy.IGNORE, "the call is gone")),
    )


def _accept_timer_by_hand() -> Table[Call]:
    """`forwarding` sets its time-out itself, and leaves it running."""

    def enter(call: Call) -> Iterator[Effect]:
        yield SetTimer(ACCEPT, call.settings.accept_overdue_s, ev.AcceptOverdue())

    states = tuple(
        replace(state, after=None, enter=enter, waits_forever=True)
        if state.name == "forwarding"
        else state
        for state in CALL.states
    )
    return replace(CALL, states=states)


def _accept_without_limit() -> Table[Call]:
    """`forwarding` waits for ever for somebody to take the text."""
    table = _without(ev.AcceptOverdue, "forwarding")
    states = tuple(
        replace(state, after=None, waits_forever=True) if state.name == "forwarding" else state
        for state in table.states
    )
    return replace(table, states=states)


def _held_words_ignored_while_busy() -> Table[Call]:
    rest = tuple(
        replace(rest, policy=Policy.IGNORE) if rest.policy is Policy.POSTPONE else rest
        for rest in CALL.rest
    )
    return replace(CALL, rest=rest)


def _any_answer_will_do() -> Table[Call]:
    """`inferring` does not ask which window an answer is to."""
    table = _row(ev.InferenceDone, "inferring", when=None)
    rest = tuple(
        replace(rest, events=(ev.InferenceStarted, ev.InferenceFailed))
        if rest.sources == ("inferring",) and ev.InferenceDone in rest.events
        else rest
        for rest in table.rest
    )
    return replace(table, rest=rest)


def _busy_that_decides() -> Table[Call]:
    """Audio takes a call that waits for its window back to `buffering`, which takes the next."""

    def change(row: AnyRow) -> AnyRow:
        if row.event is ev.AudioReceived and row.sources == BUSY:
            return replace(row, target="buffering")
        return row

    return _rows(change)


def _admit_and_rest(pool: Pool, event: inf.ContextReady) -> Iterator[Effect]:
    """`admit` that gives the context nothing to do."""
    pool.workers[event.context] = Worker.IDLE
    yield from ()


def _reconnect_and_remember(_: Link, __: lnk.Lost) -> Iterator[Effect]:
    """`reconnect` that takes the lost text for one that is still on its way."""
    yield lnk.Disconnect(bye=False)
    yield lnk.Connect()


CONTEXT_FORGOTTEN = replace(
    INFERENCE,
    rows=tuple(
        replace(row, do=_admit_and_rest)
        if row.event is inf.ContextReady and row.sources == ("serving",)
        else row
        for row in INFERENCE.rows
    ),
)
TEXT_FORGOTTEN = replace(
    LINK,
    rows=tuple(
        replace(row, do=_reconnect_and_remember)
        if row.event is lnk.Lost and row.target == "connecting"
        else row
        for row in LINK.rows
    ),
)
ROW_DROPPED = _without(ev.PauseElapsed, "buffering")
WRONG_TARGET = _row(ev.GraceElapsed, "buffering", target="closed")
GUARD_DROPPED = _any_answer_will_do()
STATE_TIMER_LEFT = _accept_timer_by_hand()
GRACE_TIMER_LEFT = _row(ev.StreamEnded, "buffering", do=_drain_and_keep_waiting)
TAIL_LOST = _row(ev.StreamEnded, "buffering", target="closed")
CLOSED_LISTENS = _closed_that_listens()
NOT_POSTPONED = _held_words_ignored_while_busy()
RETRY_WITHOUT_LIMIT = _row(ev.InferenceFailed, "inferring", when=do.of_this_window)
TWO_IN_FLIGHT = _busy_that_decides()
ACCEPT_NOT_TIMED_OUT = _accept_without_limit()
READING_NOT_RESUMED = _read_no_more()
