"""The link to the language model: one connection per call id, kept across calls.

It never blocks a call: text waits here, in order, until the peer has taken it.
"""

from callfsm.fsm.machine import Machine
from callfsm.fsm.table import STAY, After, Kind, Policy, Rest, Row, RowOf, State, Table
from callfsm.link import events as ev
from callfsm.link import link as do
from callfsm.link.link import Link

STATES: tuple[State[Link], ...] = (
    State("disconnected", "no connection, and no text that needs one", waits_forever=True),
    State("connecting", "the peer was asked; it answers or the attempt fails", waits_forever=True),
    State("settling", "connected, and not sure to be kept", waits_forever=True),
    State("connected", "a call is on; text is written as it comes", waits_forever=True),
    State(
        "kept",
        "connected for the next call of this id; text of the last one is written",
        after=After(lambda link: do.IDLE_S, ev.IdleElapsed()),
    ),
    State("waiting", "the peer is away; the next attempt is on the clock", waits_forever=True),
    State("closed", "the service ends", Kind.FINAL, enter=do.end),
)

TRYING = ("connecting", "settling", "waiting")
UP = ("connected", "kept")
OPEN = (*TRYING, *UP)

ROWS: tuple[RowOf[Link], ...] = (
    Row("disconnected", ev.Open, "connecting", do.call_and_connect),
    Row("disconnected", ev.Deliver, "connecting", do.queue_and_connect),
    Row("disconnected", ev.Close, "closed"),
    Row("connecting", ev.Connected, "settling", do.settle),
    Row("connecting", ev.ConnectFailed, "waiting", do.retry_later),
    Row("settling", ev.Settled, "connected", do.start_writing, when=do.is_calling),
    Row("settling", ev.Settled, "kept", do.start_writing),
    Row("settling", ev.Lost, "waiting", do.retry_later, note="refused: still connected there"),
    Row(
        "waiting",
        ev.RetryDue,
        "disconnected",
        do.start_over,
        when=do.asked_in_vain,
        note="until a call wants it",
    ),
    Row("waiting", ev.RetryDue, "connecting", do.connect),
    Row("connected", ev.Deliver, STAY, do.queue_and_write),
    Row("connected", ev.CallEnded, "kept", do.hang_up),
    Row("kept", ev.Deliver, "kept", do.queue_and_write),
    Row("kept", ev.Open, "connected", do.call),
    Row("kept", ev.IdleElapsed, "disconnected", do.say_bye, when=do.nothing_waits),
    Row("kept", ev.IdleElapsed, "kept", note="a text is on its way"),
    Row(UP, ev.Written, STAY, do.write_next),
    Row(UP, ev.Lost, "disconnected", do.rest, when=do.nothing_waits),
    Row(UP, ev.Lost, "connecting", do.reconnect),
    Row(UP, ev.AllDelivered, "closed", do.say_bye),
    Row(TRYING, ev.Deliver, STAY, do.queue, note="text waits, in order"),
    Row(TRYING, ev.Open, STAY, do.call, note="it is on its way"),
    Row(("disconnected", *TRYING), ev.CallEnded, STAY, do.hang_up),
    Row(OPEN, ev.Close, "closed", do.say_bye, when=do.nothing_waits),
    Row(OPEN, ev.Close, STAY, do.deliver_rest),
    Row(OPEN, ev.CloseOverdue, "closed", do.report_undelivered),
)

EVERY_EVENT = (
    ev.Open,
    ev.CallEnded,
    ev.Deliver,
    ev.Connected,
    ev.ConnectFailed,
    ev.Settled,
    ev.Written,
    ev.Lost,
    ev.RetryDue,
    ev.IdleElapsed,
    ev.Close,
    ev.CloseOverdue,
    ev.AllDelivered,
)

REST = (
    Rest(
        ("disconnected", "connecting"),
        (ev.Lost,),
        Policy.IGNORE,
        "of the connection that we have just dropped",
    ),
    Rest(
        "disconnected",
        (
            ev.Connected,
            ev.ConnectFailed,
            ev.Settled,
            ev.Written,
            ev.RetryDue,
            ev.IdleElapsed,
            ev.CloseOverdue,
            ev.AllDelivered,
        ),
        Policy.REJECT,
        "there is no connection",
    ),
    Rest(
        "connecting",
        (ev.Settled, ev.Written, ev.RetryDue, ev.IdleElapsed, ev.AllDelivered),
        Policy.REJECT,
        "there is no connection yet",
    ),
    Rest(
        "settling",
        (
            ev.Connected,
            ev.ConnectFailed,
            ev.Written,
            ev.RetryDue,
            ev.IdleElapsed,
            ev.AllDelivered,
        ),
        Policy.REJECT,
        "connected once, nothing written",
    ),
    Rest(
        "waiting",
        (
            ev.Connected,
            ev.ConnectFailed,
            ev.Settled,
            ev.Written,
            ev.Lost,
            ev.IdleElapsed,
            ev.AllDelivered,
        ),
        Policy.REJECT,
        "there is no connection",
    ),
    Rest(
        UP,
        (ev.Connected, ev.ConnectFailed, ev.Settled, ev.RetryDue),
        Policy.REJECT,
        "connected already",
    ),
    Rest("connected", (ev.Open,), Policy.IGNORE, "it is open"),
    Rest("connected", (ev.IdleElapsed,), Policy.REJECT, "the time-out of another state"),
    Rest("kept", (ev.CallEnded,), Policy.IGNORE, "no call is on"),
    Rest("closed", EVERY_EVENT, Policy.IGNORE, "the link is gone"),
)

LINK = Table(
    name="link",
    note="the connection of one call id to the language model",
    initial="disconnected",
    states=STATES,
    rows=ROWS,
    rest=REST,
    internal=(ev.AllDelivered,),
)

link_machine: Machine[Link] = Machine(LINK)
