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
    TEXT_1,
    WINDOW_1,
    buffering,
    heard,
    live,
)
from specs.policies import every_other_event


def test_end_is_told_once() -> None:
    """A call that closes says so once, with the reason."""
    call = buffering().when(END)
    assert call.the(EndCall).reason is EndReason.END_OF_STREAM


def test_nothing_is_left(runtime: SimulatedRuntime) -> None:
    """A call that closed leaves no timer and takes no mail."""
    call = live(runtime).after(*CONNECT, WINDOW_1, ev.Bye(), TEXT_1, END, ev.TextAccepted(1))
    call.then("closed", EndCall(EndReason.END_OF_STREAM))
    assert len(runtime.timers) == 0
    call.when(heard(5.0)).then("closed")
    assert call.actor.waiting == 0


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
