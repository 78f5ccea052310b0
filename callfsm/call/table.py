"""The call machine: the whole behaviour of a call, as data. Start reading here.

A call is told what happens (`events`), one thing at a time; it answers with what it wants done
(`effects`). The rows below say what it does where (`handlers` holds one function per row); the
policies at the end say what happens to everything else. `buffering` is the hub: whenever it is
entered, `decide` asks whether a window is ready, a look ahead is due, or the call is over.
"""

from callfsm.call import events as ev
from callfsm.call import handlers as do
from callfsm.call.call import Call
from callfsm.fsm.machine import Machine
from callfsm.fsm.table import STAY, After, Kind, Policy, Rest, Row, RowOf, State, Table

STATES: tuple[State[Call], ...] = (
    State(
        "registered",
        "the call has an audio port, and no audio has come from it yet",
        after=After(lambda call: call.settings.give_up_s, ev.GiveUp()),
    ),
    State(
        "buffering",
        "listening, and collecting the next window",
        enter=do.decide,
        after=After(lambda call: call.settings.idle_s, ev.IdleElapsed()),
    ),
    State("window_ready", "a window is taken from the buffer", Kind.PASSING),
    State(
        "inferring",
        "the inference actor has the window; audio goes on arriving",
        after=After(lambda call: call.settings.inference_overdue_s, ev.InferenceOverdue()),
    ),
    State("deduping", "the window's words are merged into the text", Kind.PASSING),
    State(
        "forwarding",
        "the link and the store are given the new text",
        after=After(lambda call: call.settings.accept_overdue_s, ev.AcceptOverdue()),
    ),
    State("closed", "everything heard has been forwarded", Kind.FINAL, enter=do.end),
)

BUSY = ("inferring", "forwarding")  # audio arrives, and the next window waits
LISTENING = ("buffering", *BUSY)

ROWS: tuple[RowOf[Call], ...] = (
    # registered
    Row("registered", ev.Registered, "registered", when=do.connecting, note="already connecting"),
    Row("registered", ev.Registered, "registered", do.connect, note="connect to the audio port"),
    Row("registered", ev.AudioConnected, "buffering", do.connected, note="the port answered"),
    Row("registered", ev.ConnectFailed, "closed", do.never_connected, when=do.hung_up),
    Row("registered", ev.ConnectFailed, STAY, do.try_at_next_register, note="until a REGISTER"),
    Row("registered", ev.Bye, "closed", do.never_connected, when=do.idle),
    Row("registered", ev.Bye, STAY, do.expect_end, note="the audio may be in the socket"),
    Row("registered", ev.GraceElapsed, "closed", do.never_connected),
    Row("registered", ev.GiveUp, "closed", do.never_connected, note="no REGISTER any more"),
    Row("registered", ev.StreamEnded, "closed", do.drain, note="shutdown"),
    # buffering
    Row("buffering", ev.AudioReceived, "buffering", do.hear, note="append"),
    Row("buffering", ev.PauseElapsed, "buffering", do.pause, note="no chunk: a pause"),
    Row(
        "buffering",
        ev.CutDue,
        "deduping",
        do.settle_window,
        when=do.is_heard,
        note="a look in the hush has heard all of it",
    ),
    Row("buffering", ev.CutDue, "window_ready", do.take_window),
    Row(
        "buffering",
        ev.HeldWordsElapsed,
        "forwarding",
        do.settle_held_words,
        when=do.silent_since,
        note="nothing came that could change them",
    ),
    Row("buffering", ev.StreamEnded, "buffering", do.drain, note="cut the tail"),
    Row("buffering", ev.IdleElapsed, "buffering", do.drain, note="no audio for minutes"),
    Row("buffering", ev.GraceElapsed, "buffering", do.drain, note="BYE, and no audio any more"),
    Row("buffering", ev.Drained, "closed"),
    # window_ready
    Row("window_ready", ev.WindowTaken, "inferring", do.transcribe),
    # inferring
    Row("inferring", ev.InferenceStarted, STAY, do.begin, when=do.of_this_window),
    Row("inferring", ev.CutDue, "window_ready", do.take_longer_window, note="it still waits"),
    Row("inferring", ev.InferenceDone, "deduping", do.deduplicate, when=do.of_this_window),
    Row("inferring", ev.InferenceFailed, "window_ready", do.try_again, when=do.may_try_again),
    Row("inferring", ev.InferenceFailed, "buffering", do.give_up_window, when=do.of_this_window),
    Row("inferring", ev.InferenceOverdue, "buffering", do.give_up_window),
    # deduping
    Row("deduping", ev.NewText, "forwarding", do.forward),
    Row("deduping", ev.NothingNew, "buffering"),
    # forwarding
    Row("forwarding", ev.TextAccepted, "buffering", when=do.of_this_text),
    Row("forwarding", ev.AcceptOverdue, "buffering", do.report_not_accepted),
    # while the window or the text is on its way
    Row(BUSY, ev.AudioReceived, STAY, do.hear_while_busy, note="append; the next window waits"),
    Row(BUSY, ev.PauseElapsed, STAY, do.pause_while_busy),
    Row(BUSY, ev.StreamEnded, STAY, do.drain_while_busy, note="cut the tail"),
    Row(BUSY, ev.GraceElapsed, STAY, do.drain, note="what is left is cut afterwards"),
    # hanging up
    Row(LISTENING, ev.Bye, STAY, do.expect_end, note="read on until the stream ends"),
)

INTERNAL = (ev.CutDue, ev.WindowTaken, ev.NewText, ev.NothingNew, ev.Drained)
AUDIO = (ev.AudioReceived,)
CONNECTION = (ev.AudioConnected, ev.ConnectFailed)
INFERENCE = (ev.InferenceStarted, ev.InferenceDone, ev.InferenceFailed)
TIME_OUTS = (
    ev.GiveUp,
    ev.PauseElapsed,
    ev.HeldWordsElapsed,
    ev.GraceElapsed,
    ev.IdleElapsed,
    ev.InferenceOverdue,
    ev.AcceptOverdue,
)
EXTERNAL = (
    ev.Registered,
    *CONNECTION,
    *AUDIO,
    *INFERENCE,
    ev.Bye,
    ev.StreamEnded,
    ev.TextAccepted,
    *TIME_OUTS,
)
PASSING = ("window_ready", "deduping")

REST = (
    Rest(LISTENING, (ev.Registered,), Policy.IGNORE, "REGISTER is repeated until we connect"),
    Rest(
        ("buffering", "forwarding"),
        INFERENCE,
        Policy.IGNORE,
        "a late answer to a window that was given up",
    ),
    Rest("inferring", INFERENCE, Policy.IGNORE, "an answer to another window: stale"),
    Rest("buffering", (ev.TextAccepted,), Policy.IGNORE, "accepted after it was overdue"),
    Rest("forwarding", (ev.TextAccepted,), Policy.IGNORE, "of a text before this one"),
    Rest("inferring", (ev.TextAccepted,), Policy.IGNORE, "accepted after it was overdue"),
    Rest("buffering", (ev.HeldWordsElapsed,), Policy.IGNORE, "speech goes on: a window will tell"),
    Rest(BUSY, (ev.HeldWordsElapsed,), Policy.POSTPONE, "a window on its way may tell"),
    Rest("registered", AUDIO, Policy.REJECT, "no audio before the connection"),
    Rest(LISTENING, CONNECTION, Policy.REJECT, "connected once"),
    Rest(
        "registered",
        (
            ev.PauseElapsed,
            ev.HeldWordsElapsed,
            ev.IdleElapsed,
            ev.InferenceOverdue,
            ev.AcceptOverdue,
            ev.TextAccepted,
            *INFERENCE,
            *INTERNAL,
        ),
        Policy.REJECT,
        "nothing was heard yet",
    ),
    Rest(
        "buffering",
        (ev.GiveUp, ev.InferenceOverdue, ev.AcceptOverdue),
        Policy.REJECT,
        "the time-out of another state",
    ),
    Rest(
        "inferring",
        (ev.GiveUp, ev.IdleElapsed, ev.AcceptOverdue),
        Policy.REJECT,
        "the time-out of another state",
    ),
    Rest(
        "forwarding",
        (ev.GiveUp, ev.IdleElapsed, ev.InferenceOverdue),
        Policy.REJECT,
        "the time-out of another state",
    ),
    Rest("buffering", (ev.WindowTaken, ev.NewText, ev.NothingNew), Policy.REJECT, "internal"),
    Rest("inferring", tuple(e for e in INTERNAL if e is not ev.CutDue), Policy.REJECT, "internal"),
    Rest("forwarding", INTERNAL, Policy.REJECT, "internal"),
    Rest(
        "window_ready",
        (ev.CutDue, ev.NewText, ev.NothingNew, ev.Drained),
        Policy.REJECT,
        "internal",
    ),
    Rest("deduping", (ev.CutDue, ev.WindowTaken, ev.Drained), Policy.REJECT, "internal"),
    Rest(
        PASSING,
        EXTERNAL,
        Policy.REJECT,
        "left in the turn that entered it",
    ),
    Rest(
        "closed",
        (*EXTERNAL, *INTERNAL),
        Policy.IGNORE,
        "the call is over",
    ),
)

CALL = Table(
    name="call",
    note="one phone call, from its registration to the last word forwarded",
    initial="registered",
    states=STATES,
    rows=ROWS,
    rest=REST,
    internal=INTERNAL,
)

call_machine: Machine[Call] = Machine(CALL)
