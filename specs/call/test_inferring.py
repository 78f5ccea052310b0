"""inferring: the inference actor has the window; audio goes on arriving."""

from callfsm.call import events as ev
from callfsm.call.effects import (
    AbandonInference,
    EndCall,
    ForwardText,
    Note,
    PauseReading,
    ResumeReading,
    Transcribe,
)
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
    STARTED_1,
    TEXT_1,
    TWELVE,
    WINDOW_1,
    asked,
    buffering,
    chunk,
    done,
    failed,
    forwarded,
    heard,
    inferring,
    live,
    waiting,
    words,
)
from specs.policies import every_other_event

WAIT_FOR_PAUSE = SetTimer(PAUSE, 0.3, ev.PauseElapsed())
WAIT_FOR_GRACE = SetTimer(GRACE, 2.0, ev.GraceElapsed())
DRAIN = (CancelTimer(GRACE), CancelTimer(PAUSE))
FILLED = (heard(5.0), heard(5.0))  # all that the buffer holds


# ---------------------------------------------------------------- the answer
def test_inference_done() -> None:
    """The window's words are forwarded."""
    call = inferring().when(done(1, "hello there"))
    call.then("forwarding", ForwardText(1, words("hello there")))


def test_inference_done_without_words() -> None:
    """A window without words forwards nothing, and the call listens on."""
    inferring().when(done(1, "")).then("buffering")


def test_stale_result() -> None:
    """A result with another window's number is ignored; the right one is still taken."""
    call = inferring().when(done(2, "not yours"))
    call.then_policy(Policy.IGNORE)
    call.when(done(1, "hello"))
    assert forwarded(call) == "hello"


def test_stale_failure() -> None:
    """A failure of another window is ignored, and not held against this one."""
    call = inferring().when(failed(2))
    call.then_policy(Policy.IGNORE)
    call.when(failed(1)).then("inferring", Note("inference_retried", "out of memory"), Transcribe)


def test_failed_once() -> None:
    """A window that fails is tried once more, as it was."""
    call = waiting()
    window = call.the(Transcribe).window
    call.after(STARTED_1).when(failed(1)).then(
        "inferring", Note("inference_retried", "out of memory"), Transcribe
    )
    assert call.the(Transcribe).window is window


def test_failed_twice() -> None:
    """A window that fails twice is lost, and that is noted; the call goes on."""
    call = inferring().after(failed(1)).when(failed(1))
    lost = Note("window_lost", "window 1 (0.0 to 1.0 s): out of memory")
    call.then("buffering", lost, AbandonInference(1))
    call.when(chunk(1.0)).then("inferring", Transcribe)
    assert asked(call) == (Cut.PAUSE, 1.0, 2.0)


def test_each_window_has_its_retry() -> None:
    """A retry used for one window is not taken from the next."""
    call = inferring().after(failed(1), TEXT_1, ev.TextAccepted(1), chunk(1.0))
    call.when(failed(2)).then("inferring", Note, Transcribe)


def test_failed_twice_while_audio_waits() -> None:
    """After a lost window the next one, which waits already, is taken at once."""
    call = inferring().after(chunk(1.0), failed(1)).when(failed(1))
    call.then("inferring", Note, AbandonInference(1), Transcribe)
    assert asked(call) == (Cut.PAUSE, 1.0, 2.0)


def test_overdue(runtime: SimulatedRuntime) -> None:
    """A window without an answer for two minutes is given up; a late answer is ignored."""
    call = live(runtime).after(*CONNECT, WINDOW_1)
    call.advance(119).then("inferring")
    lost = Note("window_lost", "window 1 (0.0 to 1.0 s): no answer in time")
    call.advance(2).then("buffering", lost, AbandonInference(1))
    call.when(TEXT_1).then_policy(Policy.IGNORE)


def test_retry_has_its_own_time(runtime: SimulatedRuntime) -> None:
    """The retry of a window may take as long as the first attempt."""
    call = live(runtime).after(*CONNECT, WINDOW_1)
    call.advance(100).after(failed(1))
    call.advance(119).then("inferring")


# ---------------------------------------------------------------- audio meanwhile
def test_audio_waits() -> None:
    """Audio that arrives meanwhile is kept; the next window waits for this one."""
    inferring().after(heard(4.0)).when(heard(2.0)).then("inferring", WAIT_FOR_PAUSE)


def test_pause_meanwhile() -> None:
    """A pause is noticed meanwhile; its window is asked for when this one is done."""
    call = inferring().after(heard(2.0)).when(ev.PauseElapsed()).then("inferring")
    call.after(heard(2.0)).when(done(1, ""))
    assert asked(call) == (Cut.STALL, 1.0, 3.0)


def test_buffer_is_full() -> None:
    """With ten seconds waiting the sender is made to wait, and that is noted."""
    call = inferring().after(heard(9.9)).when(heard(0.2))
    waits = Note("reading_paused", "10.1 s wait for inference")
    call.then("inferring", waits, *DRAIN, PauseReading())


def test_buffer_is_still_full() -> None:
    """What was on its way when reading was paused is kept, and noted only once."""
    inferring().after(*FILLED).when(heard(0.2)).then("inferring")


def test_no_pause_while_reading_is_paused(runtime: SimulatedRuntime) -> None:
    """Silence because we do not read is none of the speaker's, who may be amid a word."""
    call = live(runtime).after(*CONNECT, WINDOW_1, STARTED_1, *FILLED, heard(0.5)).advance(60)
    call.when(done(1, ""))
    assert asked(call) == (Cut.OVERFLOW, 1.0, 11.5)


def test_pause_after_reading_was_paused(runtime: SimulatedRuntime) -> None:
    """A speaker who stopped meanwhile is not waited for: the pause begins when we read again."""
    call = live(runtime).after(*CONNECT, WINDOW_1, STARTED_1, *FILLED, done(1, ""))
    call.when(ev.InferenceStarted(2)).then("inferring", ResumeReading())
    call.after(heard(2.0), done(2, "")).advance(0.4)
    assert asked(call) == (Cut.STALL, 10.0, 13.0)


def test_overflow_is_one_window() -> None:
    """All that waits in a full buffer becomes one window; once a context has begun with it, the
    sender may go on."""
    call = inferring().after(*FILLED, heard(0.5)).when(done(1, "")).then("inferring", Transcribe)
    assert asked(call) == (Cut.OVERFLOW, 1.0, 11.5)
    call.when(ev.InferenceStarted(2)).then("inferring", ResumeReading())


def test_overlap_after_overflow() -> None:
    """A window cut by overflow may end in mid-word: the next one hears its last second again."""
    call = inferring().after(*FILLED, heard(0.5), done(1, ""))
    call.after(ev.InferenceStarted(2), heard(3.98), heard(0.02))
    call.when(done(2, ""))
    assert asked(call) == (Cut.FULL, 10.5, 15.5)


# ---------------------------------------------------------------- while the window waits
def test_started() -> None:
    """Once a context has begun with the window, what is cut waits for the answer."""
    waiting().when(STARTED_1).then("inferring")
    inferring().when(chunk(1.0)).then("inferring")


def test_waiting_window_grows() -> None:
    """A window that waits when the next one is complete becomes one with it: it costs less."""
    call = waiting().when(chunk(1.0)).then("inferring", Transcribe)
    assert asked(call) == (Cut.PAUSE, 0.0, 2.0)
    call.when(done(1, "half of it")).then_policy(Policy.IGNORE)
    call.when(done(2, "all of it"))
    assert forwarded(call) == "all of it"


def test_waiting_window_grows_at_a_pause() -> None:
    """A pause on the clock completes a window too."""
    call = waiting().after(heard(2.0)).when(ev.PauseElapsed()).then("inferring", Transcribe)
    assert asked(call) == (Cut.STALL, 0.0, 3.0)


def test_another_window_started() -> None:
    """That a context began with the window that was replaced does not stop the longer one."""
    call = waiting().after(chunk(1.0)).when(STARTED_1)
    call.then_policy(Policy.IGNORE)
    call.when(chunk(1.0)).then("inferring", Transcribe)
    assert asked(call) == (Cut.PAUSE, 0.0, 3.0)


def test_look_gives_way() -> None:
    """A look that still waits when its window is complete is replaced by that window."""
    call = buffering().after(heard(1.0, load=0.0))
    assert asked(call) == (Cut.EAGER, 0.0, 1.0)
    call.when(chunk(1.0))
    assert asked(call) == (Cut.PAUSE, 0.0, 2.0)


def test_window_grows_to_ten_seconds() -> None:
    """No more than the buffer may hold; the sender has to wait until a context begins with it."""
    call = waiting().after(heard(5.0), chunk(3.0))
    assert asked(call) == (Cut.PAUSE, 0.0, 9.0)
    waits = Note("reading_paused", "10.0 s wait for inference")
    call.when(heard(1.0)).then("inferring", waits, *DRAIN, PauseReading())
    call.when(ev.InferenceStarted(3)).then("inferring", ResumeReading(), WAIT_FOR_PAUSE)


def test_a_window_given_up_lets_the_sender_go_on() -> None:
    """Nobody waits for it any more, so there is room again."""
    call = waiting().after(heard(5.0), heard(4.0), heard(1.0))
    call.when(ev.InferenceOverdue())
    assert ResumeReading() in call.effects


# ---------------------------------------------------------------- hanging up meanwhile
def test_bye() -> None:
    """A BYE means: read on, until no audio came for two seconds."""
    inferring().when(ev.Bye()).then("inferring", WAIT_FOR_GRACE)


def test_audio_after_bye() -> None:
    """Audio after a BYE moves the grace time."""
    call = inferring().after(ev.Bye()).when(heard(0.5))
    call.then("inferring", WAIT_FOR_PAUSE, WAIT_FOR_GRACE)


def test_end_of_stream() -> None:
    """At the end of the stream the answer is waited for; what is left is transcribed afterwards."""
    call = inferring().after(heard(0.5)).when(END).then("inferring", *DRAIN)
    call.after(TEXT_1).when(ev.TextAccepted(1)).then("inferring", Transcribe)
    assert asked(call) == (Cut.END, 1.0, 1.5)
    call.when(done(2, "")).then("closed", EndCall(EndReason.END_OF_STREAM))


def test_end_of_stream_while_the_window_waits() -> None:
    """What is left joins the window that no context has begun with: all is one window."""
    call = waiting().after(heard(0.5)).when(END).then("inferring", *DRAIN, Transcribe)
    assert asked(call) == (Cut.END, 0.0, 1.5)
    call.when(done(2, "hello there")).then("forwarding", ForwardText)
    call.when(ev.TextAccepted(1)).then("closed", EndCall(EndReason.END_OF_STREAM))


def test_end_of_stream_while_a_look_waits() -> None:
    """A look gives way to the last window: looks wait for the windows of all other calls."""
    call = buffering().after(heard(1.0, load=0.0)).when(END).then("inferring", *DRAIN, Transcribe)
    assert asked(call) == (Cut.END, 0.0, 1.0)


def test_bye_after_end_of_stream() -> None:
    """A BYE after the end of the stream does not change why the call ended."""
    call = inferring().after(END, ev.Bye(), ev.GraceElapsed(), TEXT_1).when(ev.TextAccepted(1))
    call.then("closed", EndCall(EndReason.END_OF_STREAM))


def test_end_of_stream_and_failure() -> None:
    """A window lost while draining does not keep the call from ending."""
    call = inferring().after(END, failed(1)).when(failed(1))
    call.then("closed", Note, AbandonInference(1), EndCall(EndReason.END_OF_STREAM))


def test_grace_elapsed(runtime: SimulatedRuntime) -> None:
    """Two seconds without audio after a BYE are the end of the stream."""
    call = live(runtime).after(*CONNECT, WINDOW_1, ev.Bye()).advance(2.1).then("inferring")
    call.after(TEXT_1).when(ev.TextAccepted(1)).then("closed", EndCall(EndReason.BYE))


def test_bye_while_reading_is_paused(runtime: SimulatedRuntime) -> None:
    """No audio comes because we do not read: the grace time begins when we read again."""
    call = live(runtime).after(*CONNECT, WINDOW_1, STARTED_1, *FILLED, ev.Bye()).advance(60)
    call.after(done(1, "")).when(ev.InferenceStarted(2))
    call.then("inferring", ResumeReading())
    call.after(done(2, "")).advance(1.9).then("buffering")
    call.advance(0.2).then("closed", EndCall(EndReason.BYE))


def test_last_words_behind_a_full_buffer(runtime: SimulatedRuntime) -> None:
    """Audio still in the socket when the buffer was full is read after a BYE, however late."""
    call = live(runtime).after(*CONNECT, WINDOW_1, STARTED_1, *FILLED, ev.Bye()).advance(60)
    call.when(done(1, "")).then("inferring", Transcribe)
    call.after(ev.InferenceStarted(2), chunk(1.0), done(2, "")).when(END)
    assert call.state == "inferring"
    call.when(done(3, "good bye", 9.0))
    assert forwarded(call) == "good bye"


# ---------------------------------------------------------------- words held back
def test_held_words_are_postponed(runtime: SimulatedRuntime) -> None:
    """Held words wait for the window on its way, and 1.0 s more when it is lost."""
    call = live(runtime).after(*CONNECT, heard(5.0), done(1, TWELVE), ev.TextAccepted(1))
    call.after(chunk(1.0)).advance(1.3).then_policy(Policy.POSTPONE)
    call.after(failed(2), failed(2)).advance(0.9).then("buffering")
    call.advance(0.2)
    assert call.state == "forwarding"
    assert forwarded(call) == "eleven twel"


def test_held_words_have_their_own_time(runtime: SimulatedRuntime) -> None:
    """Words held back by the next window wait their own 1.0 s, not those of the window before."""
    call = live(runtime).after(*CONNECT, heard(5.0), done(1, TWELVE), ev.TextAccepted(1))
    call.after(heard(4.0)).advance(1.3).then("inferring")
    call.after(done(2, TWELVE.replace("one two", "eleven twelve")))
    call.when(ev.TextAccepted(2)).then("buffering")


def test_held_words_when_the_next_window_is_lost(runtime: SimulatedRuntime) -> None:
    """Held words whose time was over while speech went on get it again when its window is lost."""
    call = live(runtime).after(*CONNECT, heard(5.0), done(1, TWELVE), ev.TextAccepted(1))
    for _ in range(5):
        call.advance(0.25).after(heard(0.25))
    call.after(heard(2.75), failed(2)).when(failed(2))
    call.then("buffering", Note, AbandonInference(2))
    call.advance(1.3)
    assert call.state == "forwarding"
    assert forwarded(call) == "eleven twel"


@every_other_event(
    ignored=[ev.Registered(), STALE_RESULT, STALE_FAILURE, STALE_ACCEPT],
    postponed=[ev.HeldWordsElapsed()],
    rejected=[
        ev.AudioConnected(),
        ev.ConnectFailed(),
        ev.GiveUp(),
        ev.IdleElapsed(),
        ev.AcceptOverdue(),
        ev.WindowTaken(),
        NEW_TEXT,
        ev.NothingNew(),
        ev.Drained(),
    ],
)
def test_other_events(event: Event, policy: Policy) -> None:
    """A repeated REGISTER and late answers are ignored; the work of other states cannot come."""
    inferring().when(event).then_policy(policy)
