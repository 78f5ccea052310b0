"""registered: the call has an audio port, and no audio has come from it yet."""

from callfsm.call import events as ev
from callfsm.call.effects import ConnectAudio, EndCall, Note, OpenLink, Transcribe
from callfsm.call.events import EndReason
from callfsm.call.handlers import GRACE, PAUSE
from callfsm.call.segmenter import Cut
from callfsm.fsm.table import CancelTimer, Event, Policy, SetTimer
from callfsm.runtimes.simulated import SimulatedRuntime
from specs.call.scenes import (
    CONNECT,
    NEW_TEXT,
    STALE_ACCEPT,
    STALE_FAILURE,
    STALE_RESULT,
    asked,
    done,
    heard,
    live,
    registered,
)
from specs.policies import every_other_event

NEVER_CONNECTED = (Note("never_connected"), EndCall(EndReason.NEVER_CONNECTED))


def test_register_connects() -> None:
    """A REGISTER makes the call connect to its audio port."""
    registered().when(ev.Registered()).then("registered", ConnectAudio())


def test_register_while_connecting() -> None:
    """A REGISTER while we already connect changes nothing."""
    registered().after(ev.Registered()).when(ev.Registered()).then("registered")


def test_connected() -> None:
    """When the audio port answers, the call listens and has its link opened."""
    registered().after(ev.Registered()).when(ev.AudioConnected()).then("buffering", OpenLink())


def test_connect_failed() -> None:
    """A port that does not answer is noted; the call stays registered."""
    call = registered().after(ev.Registered()).when(ev.ConnectFailed())
    call.then("registered", Note("connect_failed"))


def test_register_after_failure() -> None:
    """After a failed attempt the next REGISTER tries again."""
    call = registered().after(ev.Registered(), ev.ConnectFailed()).when(ev.Registered())
    call.then("registered", ConnectAudio())


def test_connect_failed_after_bye() -> None:
    """A call that was hung up is over when its port does not answer."""
    call = registered().after(ev.Registered(), ev.Bye()).when(ev.ConnectFailed())
    call.then("closed", *NEVER_CONNECTED)


def test_bye_while_nothing_connects() -> None:
    """A BYE before any attempt to connect ends the call."""
    registered().when(ev.Bye()).then("closed", *NEVER_CONNECTED)


def test_bye_while_connecting() -> None:
    """A BYE while we connect waits: the whole call may be in the socket."""
    call = registered().after(ev.Registered()).when(ev.Bye())
    call.then("registered", SetTimer(GRACE, 2.0, ev.GraceElapsed()))


def test_grace_elapsed(runtime: SimulatedRuntime) -> None:
    """Two seconds after a BYE the call ends if its port did not answer."""
    call = live(runtime).after(ev.Registered(), ev.Bye())
    call.advance(1.9).then("registered")
    call.advance(0.2).then("closed", *NEVER_CONNECTED)


def test_short_call_that_ends_before_it_connects(runtime: SimulatedRuntime) -> None:
    """Audio that waits behind an early BYE is transcribed all the same."""
    call = live(runtime).after(ev.Registered(), ev.Bye(), ev.AudioConnected(), heard(1.0))
    call.advance(2.1).then("inferring", Transcribe)
    assert asked(call) == (Cut.STALL, 0.0, 1.0)
    call.after(done(1, "bye")).when(ev.TextAccepted(1)).then("closed", EndCall(EndReason.BYE))


def test_give_up(runtime: SimulatedRuntime) -> None:
    """Thirty seconds without audio or another REGISTER end the call."""
    call = live(runtime).after(ev.Registered(), ev.ConnectFailed())
    call.advance(29.9).then("registered")
    call.advance(0.2).then("closed", *NEVER_CONNECTED)


def test_failure_does_not_keep_alive(runtime: SimulatedRuntime) -> None:
    """The thirty seconds count from the last REGISTER, not from the failure of its attempt."""
    call = live(runtime).after(ev.Registered()).advance(10).after(ev.ConnectFailed())
    call.advance(20.1).then("closed", *NEVER_CONNECTED)


def test_register_keeps_alive(runtime: SimulatedRuntime) -> None:
    """Every REGISTER gives the call another thirty seconds, also while it connects."""
    call = live(runtime).after(ev.Registered())
    for _ in range(10):
        call.advance(20).then("registered")
        call.after(ev.Registered())
    call.advance(30.1).then("closed", *NEVER_CONNECTED)


def test_another_attempt_keeps_alive(runtime: SimulatedRuntime) -> None:
    """A REGISTER that tries again after a failure gives the call another thirty seconds, too."""
    call = live(runtime).after(ev.Registered(), ev.ConnectFailed()).advance(20)
    call.after(ev.Registered()).advance(20).then("registered")


def test_give_up_is_forgotten(runtime: SimulatedRuntime) -> None:
    """A call that connected does not give up any more."""
    live(runtime).after(*CONNECT).advance(40).then("buffering")


def test_shutdown() -> None:
    """When the service ends, a call without audio is closed at once."""
    call = registered().when(ev.StreamEnded(EndReason.SHUTDOWN))
    call.then("closed", CancelTimer(GRACE), CancelTimer(PAUSE), EndCall(EndReason.SHUTDOWN))


@every_other_event(
    rejected=[
        STALE_RESULT,
        ev.InferenceStarted(1),
        STALE_FAILURE,
        heard(0.02),
        STALE_ACCEPT,
        ev.PauseElapsed(),
        ev.HeldWordsElapsed(),
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
def test_other_events(event: Event, policy: Policy) -> None:
    """Audio and the work of later states cannot come yet."""
    registered().when(event).then_policy(policy)
