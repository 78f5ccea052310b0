"""window_ready: a window is taken from the buffer; left in the turn that entered it."""

import pytest

from callfsm.call import events as ev
from callfsm.call.effects import Transcribe
from callfsm.call.events import EndReason
from callfsm.call.segmenter import Cut
from callfsm.call.table import call_machine
from callfsm.fsm.table import Event, Policy
from callfsm.testing import given
from specs.audio import speech
from specs.call.scenes import (
    NEW_TEXT,
    STALE_ACCEPT,
    STALE_FAILURE,
    STALE_RESULT,
    STARTED_1,
    TEXT_1,
    a_call,
    asked,
    buffering,
    chunk,
    heard,
    inferring,
    quiet,
)
from specs.policies import every_other_event


def test_window_taken() -> None:
    """The window that was taken goes to the inference actor."""
    call = a_call()
    call.windows.append(speech(5.0))
    call.window = call.windows.take()
    scene = given(call_machine, call, "window_ready").when(ev.WindowTaken())
    scene.then("inferring", Transcribe)
    assert scene.the(Transcribe).window is call.window


@pytest.mark.parametrize(("load", "thorough"), [(0.0, True), (0.6, True), (0.7, False)])
def test_thoroughness(load: float, thorough: bool) -> None:
    """Up to 60 % load there is time to weigh several texts of a window; then it becomes cheaper."""
    call = buffering().when(heard(5.0, load=load))
    assert call.the(Transcribe).thorough is thorough


def test_never_rests_here() -> None:
    """A call passes this state within one turn."""
    call = buffering().when(chunk(1.0))
    assert [str(step) for step in call.steps] == [
        "buffering + AudioReceived -> buffering",
        "buffering + CutDue -> window_ready",
        "window_ready + WindowTaken -> inferring",
    ]


def test_windows_are_numbered() -> None:
    """Windows count 1, 2, … within the call, and say where they lie in its audio time."""
    call = buffering().when(chunk(1.0))
    assert call.the(Transcribe).window.number == 1
    call.after(TEXT_1, ev.TextAccepted(1), quiet(3.0), heard(1.0)).when(quiet(0.3))
    assert call.the(Transcribe).window.number == 2
    assert asked(call) == (Cut.PAUSE, 3.7, 5.2)


def test_full_windows_overlap() -> None:
    """After a full window the next one begins with the last second of it."""
    call = buffering().after(heard(5.0), STARTED_1, heard(3.0), heard(1.0), TEXT_1)
    call.when(ev.TextAccepted(1))
    assert asked(call) == (Cut.FULL, 4.0, 9.0)
    assert call.the(Transcribe).window.overlaps


def test_nothing_overlaps_after_a_pause() -> None:
    """After a pause the next window shares no audio with the one before."""
    call = inferring().after(heard(5.0), TEXT_1).when(ev.TextAccepted(1))
    assert asked(call) == (Cut.FULL, 1.0, 6.0)
    assert not call.the(Transcribe).window.overlaps


def test_context() -> None:
    """A short utterance is heard together with the one before, so that it is not judged alone."""
    call = inferring().after(TEXT_1, ev.TextAccepted(1)).when(chunk(1.0))
    window = call.the(Transcribe).window
    assert (window.start_s, window.fresh_s, window.end_s) == (0.0, 1.0, 2.0)


def test_context_is_limited() -> None:
    """What lies further back than fifteen seconds from the end is no context."""
    call = inferring().after(TEXT_1, ev.TextAccepted(1), quiet(13.5)).when(chunk(1.0))
    window = call.the(Transcribe).window
    assert (window.start_s, window.fresh_s, window.end_s) == (14.2, 14.2, 15.5)


def test_context_of_a_full_window() -> None:
    """A full window has as much context as fits."""
    call = inferring().after(TEXT_1, ev.TextAccepted(1)).when(heard(5.0))
    window = call.the(Transcribe).window
    assert (window.start_s, window.fresh_s, window.end_s) == (0.0, 1.0, 6.0)


@every_other_event(
    rejected=[
        ev.Registered(),
        ev.AudioConnected(),
        ev.ConnectFailed(),
        heard(0.02),
        ev.Bye(),
        ev.StreamEnded(EndReason.END_OF_STREAM),
        STALE_RESULT,
        ev.InferenceStarted(1),
        STALE_FAILURE,
        STALE_ACCEPT,
        ev.GiveUp(),
        ev.PauseElapsed(),
        ev.HeldWordsElapsed(),
        ev.GraceElapsed(),
        ev.IdleElapsed(),
        ev.InferenceOverdue(),
        ev.AcceptOverdue(),
        ev.CutDue(),
        NEW_TEXT,
        ev.NothingNew(),
        ev.Drained(),
    ],
)
def test_other_events(event: Event, policy: Policy) -> None:
    """Nothing from the mailbox can come between a cut and its request."""
    given(call_machine, a_call(), "window_ready").when(event).then_policy(policy)
