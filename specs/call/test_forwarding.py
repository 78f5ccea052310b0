"""forwarding: the link and the store are given the new text."""

from callfsm.call import events as ev
from callfsm.call.effects import EndCall, Note, PauseReading, ResumeReading, Transcribe
from callfsm.call.events import EndReason
from callfsm.call.handlers import GRACE, PAUSE
from callfsm.call.segmenter import Cut
from callfsm.fsm.table import CancelTimer, Event, Policy, SetTimer
from callfsm.runtimes.simulated import SimulatedRuntime
from specs.call.scenes import (
    CONNECT,
    END,
    NEW_TEXT,
    STALE_ACCEPT,
    STALE_FAILURE,
    STALE_RESULT,
    TEXT_1,
    TWELVE,
    WINDOW_1,
    asked,
    chunk,
    done,
    forwarded,
    forwarding,
    heard,
    live,
)
from specs.policies import every_other_event

WAIT_FOR_PAUSE = SetTimer(PAUSE, 0.3, ev.PauseElapsed())
WAIT_FOR_GRACE = SetTimer(GRACE, 2.0, ev.GraceElapsed())
DRAIN = (CancelTimer(GRACE), CancelTimer(PAUSE))


# ---------------------------------------------------------------- the answer
def test_text_accepted() -> None:
    """When the text is taken, the call listens on."""
    forwarding().when(ev.TextAccepted(1)).then("buffering")


def test_text_accepted_while_audio_waits() -> None:
    """When the text is taken and a window waits, it is asked for at once."""
    call = forwarding().after(chunk(1.0)).when(ev.TextAccepted(1))
    call.then("inferring", Transcribe)


def test_text_accepted_when_draining() -> None:
    """When the last text is taken and the audio is over, the call is over."""
    call = forwarding().after(END).when(ev.TextAccepted(1))
    call.then("closed", EndCall(EndReason.END_OF_STREAM))


def test_older_text_accepted() -> None:
    """That a text before this one was taken changes nothing."""
    forwarding().when(ev.TextAccepted(0)).then_policy(Policy.IGNORE)


def test_accept_overdue(runtime: SimulatedRuntime) -> None:
    """When nobody takes the text within ten seconds, that is noted, and the call goes on."""
    call = live(runtime).after(*CONNECT, WINDOW_1, TEXT_1)
    call.advance(9.9).then("forwarding")
    call.advance(0.2).then("buffering", Note("accept_overdue", "text 1"))
    call.when(ev.TextAccepted(1)).then_policy(Policy.IGNORE)


# ---------------------------------------------------------------- audio meanwhile
def test_audio_waits() -> None:
    """Audio that arrives meanwhile is kept; the next window waits."""
    forwarding().when(heard(6.0)).then("forwarding", WAIT_FOR_PAUSE)


def test_pause_meanwhile() -> None:
    """A pause is noticed meanwhile; its window is asked for when the text is taken."""
    call = forwarding().after(heard(2.0)).when(ev.PauseElapsed()).then("forwarding")
    call.after(heard(2.0)).when(ev.TextAccepted(1))
    assert asked(call) == (Cut.STALL, 1.0, 3.0)


def test_buffer_is_full() -> None:
    """A store that hangs makes the sender wait, and loses no audio."""
    call = forwarding().when(heard(10.2))
    call.then("forwarding", Note, *DRAIN, PauseReading())
    call.when(ev.AcceptOverdue()).then("inferring", Note, Transcribe)
    assert asked(call) == (Cut.OVERFLOW, 1.0, 11.2)
    call.when(ev.InferenceStarted(2)).then("inferring", ResumeReading())


# ---------------------------------------------------------------- hanging up meanwhile
def test_bye() -> None:
    """A BYE means: read on, until no audio came for two seconds."""
    forwarding().when(ev.Bye()).then("forwarding", WAIT_FOR_GRACE)


def test_end_of_stream() -> None:
    """At the end of the stream the text is waited for; what is left is transcribed afterwards."""
    call = forwarding().after(heard(0.5)).when(END).then("forwarding", *DRAIN)
    call.when(ev.TextAccepted(1)).then("inferring", Transcribe)
    assert asked(call) == (Cut.END, 1.0, 1.5)


def test_grace_elapsed(runtime: SimulatedRuntime) -> None:
    """Two seconds without audio after a BYE are the end of the stream."""
    call = live(runtime).after(*CONNECT, WINDOW_1, TEXT_1, ev.Bye()).advance(2.1)
    call.then("forwarding")
    call.when(ev.TextAccepted(1)).then("closed", EndCall(EndReason.BYE))


# ---------------------------------------------------------------- words held back
def test_held_words_are_postponed(runtime: SimulatedRuntime) -> None:
    """Held words whose time comes while a text is on its way are forwarded right after it."""
    call = live(runtime).after(*CONNECT, heard(5.0), done(1, TWELVE))
    call.advance(1.3).then_policy(Policy.POSTPONE)
    call.when(ev.TextAccepted(1))
    assert forwarded(call) == "eleven twel"


@every_other_event(
    ignored=[ev.Registered(), STALE_RESULT, ev.InferenceStarted(1), STALE_FAILURE, STALE_ACCEPT],
    postponed=[ev.HeldWordsElapsed()],
    rejected=[
        ev.AudioConnected(),
        ev.ConnectFailed(),
        ev.GiveUp(),
        ev.IdleElapsed(),
        ev.InferenceOverdue(),
        ev.CutDue(),
        ev.WindowTaken(),
        NEW_TEXT,
        ev.NothingNew(),
        ev.Drained(),
    ],
)
def test_other_events(event: Event, policy: Policy) -> None:
    """A repeated REGISTER and late answers are ignored; the work of other states cannot come."""
    forwarding().when(event).then_policy(policy)
