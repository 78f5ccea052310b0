"""closed: everything heard has been forwarded."""

from callfsm.call import events as ev
from callfsm.call.effects import EndCall
from callfsm.call.events import EndReason
from callfsm.fsm.table import Event, Policy
from callfsm.runtimes.simulated import SimulatedRuntime
from specs.call.scenes import (
    CONNECT,
    END,
    NEW_TEXT,
    STALE_ACCEPT,
    STALE_FAILURE,
    STALE_RESULT,
    TWELVE,
    buffering,
    done,
    heard,
    live,
)
from specs.policies import every_other_event


def test_end_is_told_once() -> None:
    """A call that closes says so once, with the reason."""
    call = buffering().when(END)
    assert call.the(EndCall).reason is EndReason.END_OF_STREAM


def test_nothing_is_left(runtime: SimulatedRuntime) -> None:
    """A call that closed has stopped: no time-out comes, and what it is told is a dead letter."""
    call = live(runtime).after(*CONNECT, heard(5.0), done(1, TWELVE), ev.TextAccepted(1), END)
    assert len(runtime.timers) == 2  # for the text, and for the words held back before it
    call.when(ev.TextAccepted(2)).then("closed", EndCall(EndReason.END_OF_STREAM))
    assert call.actor.stopped
    assert len(runtime.timers) == 0
    assert call.advance(600.0).steps == []
    assert call.when(heard(5.0)).steps == []
    assert runtime.dead_letters.counts == {("call", "AudioReceived"): 1}


@every_other_event(
    ignored=[
        ev.Registered(),
        ev.AudioConnected(),
        ev.ConnectFailed(),
        heard(0.02),
        ev.Bye(),
        ev.StreamEnded(EndReason.SHUTDOWN),
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
        ev.WindowTaken(),
        NEW_TEXT,
        ev.NothingNew(),
        ev.Drained(),
    ],
)
def test_every_event(event: Event, policy: Policy) -> None:
    """Whatever comes after the end is ignored."""
    buffering().after(END).when(event).then_policy(policy)
