"""The whole behaviour of the client: connect, back off, check that the line is alive."""

from callfsm.fsm import STAY, After, Kind, Machine, Policy, Rest, Row, State, Table
from examples.reconnecting_client import client as do
from examples.reconnecting_client.client import (
    Client,
    Close,
    Connected,
    Lost,
    Received,
    Request,
    TimeUp,
)

LINE = ("connected", "checking")
AWAY = ("connecting", "backing_off")

CLIENT: Table[Client] = Table(
    name="reconnecting client",
    note="it keeps a connection, and its requests while there is none",
    initial="connecting",
    states=(
        State("connecting", "the server is asked", enter=do.connect, after=After(3, TimeUp())),
        State("connected", "the line was heard of lately", after=After(2, TimeUp())),
        State("checking", "is it alive?", enter=do.ping, after=After(1, TimeUp())),
        State(
            "backing_off",
            "twice as long after each failure",
            enter=do.disconnect,
            after=After(do.backoff_s, TimeUp()),
        ),
        State("closed", "the user is done", Kind.FINAL, enter=do.disconnect, rest=Policy.IGNORE),
    ),
    rows=(
        Row("connecting", Connected, "connected", do.send_again),
        Row(("connecting", *LINE), Lost, "backing_off", do.count_failure),
        Row(("connecting", "checking"), TimeUp, "backing_off", do.count_failure),
        Row("backing_off", TimeUp, "connecting"),
        Row("connected", Request, STAY, do.send),
        Row("connected", TimeUp, "checking", note="silent for too long"),
        Row(LINE, Received, "connected", do.answer, when=do.is_answer),
        Row(LINE, Received, "connected", do.note_alive, note="a pong, or nobody asked"),
        Row((*AWAY, *LINE), Close, "closed"),
    ),
    rest=(
        Rest((*AWAY, "checking"), (Request,), Policy.POSTPONE, "sent when the line is alive"),
        Rest("backing_off", (Connected, Received, Lost), Policy.IGNORE, "given up meanwhile"),
        Rest("connecting", (Received,), Policy.REJECT, "not connected yet"),
        Rest(LINE, (Connected,), Policy.REJECT, "connected once"),
    ),
)

client_machine = Machine(CLIENT)
