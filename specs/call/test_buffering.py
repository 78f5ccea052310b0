"""buffering: listening, and collecting the next window."""

from collections.abc import Callable

import pytest

from callfsm.call import events as ev
from callfsm.call.call import Call
from callfsm.call.effects import AbandonInference, EndCall, ForwardText, Note, Transcribe
from callfsm.call.events import EndReason
from callfsm.call.handlers import GRACE, PAUSE
from callfsm.call.segmenter import Cut
from callfsm.call.settings import WindowSettings
from callfsm.fsm.table import CancelTimer, Event, Policy, SetTimer
from callfsm.runtimes.simulated import SimulatedRuntime
from callfsm.testing import Scenario
from specs.audio import silence, speech
from specs.call.scenes import (
    CONNECT,
    END,
    NEW_TEXT,
    STALE_ACCEPT,
    STALE_FAILURE,
    STALE_RESULT,
    TWELVE,
    a_call,
    asked,
    buffering,
    chunk,
    done,
    failed,
    forwarded,
    heard,
    live,
    quiet,
    words,
)
from specs.policies import every_other_event

WAIT_FOR_PAUSE = SetTimer(PAUSE, 0.3, ev.PauseElapsed())
DRAIN = (CancelTimer(GRACE), CancelTimer(PAUSE))


# ---------------------------------------------------------------- when a window is cut
def test_speech_is_collected() -> None:
    """Speech is collected, and a pause is waited for on the clock."""
    buffering().when(heard(1.0)).then("buffering", WAIT_FOR_PAUSE)


def test_silence_is_not_inferred() -> None:
    """Silence alone is never given to the model."""
    buffering().when(quiet(20.0)).then("buffering")


def test_full_window() -> None:
    """A window is cut when five seconds of speech are there."""
    call = buffering().after(heard(4.98)).when(heard(0.02))
    call.then("inferring", Transcribe)
    assert asked(call) == (Cut.FULL, 0.0, 5.0)


def test_lead_in() -> None:
    """A window begins 0.3 s before the first sound, so that no onset is lost."""
    call = buffering().after(quiet(2.0)).when(heard(4.7))
    assert asked(call) == (Cut.FULL, 1.7, 6.7)


def test_pause_in_the_audio() -> None:
    """Three hundred milliseconds of silence after speech cut the window; 200 ms of it are kept."""
    call = buffering().after(heard(2.0), quiet(0.28)).when(quiet(0.02))
    assert asked(call) == (Cut.PAUSE, 0.0, 2.2)


def test_chunk_with_hangover() -> None:
    """A speech chunk that ends in silence ends in a pause: its window is cut at once."""
    call = buffering().when(chunk(1.0, hangover_s=0.2)).then("inferring", Transcribe)
    assert asked(call) == (Cut.PAUSE, 0.0, 1.0)


def test_chunk_without_hangover() -> None:
    """A speech chunk that ends in mid-speech is cut: nothing comes before the next is complete."""
    call = buffering().when(chunk(1.0, hangover_s=0.0))
    assert asked(call) == (Cut.STALL, 0.0, 1.0)


def test_mode_chunk_is_never_quiet() -> None:
    """In mode "chunk" nobody listens for speech, so nobody is quiet: audio is read as it comes."""
    quiet_call, heard_call = a_call(), a_call(WindowSettings(mode="chunk"))
    assert (quiet_call.is_quiet, heard_call.is_quiet) == (True, False)


def test_no_look_within_a_chunk() -> None:
    """While the rest of a chunk is still arriving, nobody looks ahead."""
    piece = ev.AudioReceived(speech(1.0), chunk_s=0.0, load=0.0)
    buffering().when(piece).then("buffering", WAIT_FOR_PAUSE)


def test_context_under_load() -> None:
    """When the contexts have no time to spare, windows hear less of what was said before."""
    talk = WindowSettings(window_s=5.0, context_s=15.0, context_busy_s=10.0)
    lengths_s = []
    for load in (0.0, 1.0):
        call = buffering(talk)
        for number in range(1, 6):
            call.after(heard(4.0 if number > 1 else 5.0, load=load))
            window = call.the(Transcribe).window
            call.after(done(number, ""))
        lengths_s.append(window.end_s - window.start_s)
    assert lengths_s == [13.0, 9.0]


def test_a_moment_without_time_to_spare() -> None:
    """One window that waits takes no context away, which would be gone for good."""
    talk = WindowSettings(window_s=5.0, context_s=15.0, context_busy_s=6.0)
    call = buffering(talk).after(heard(5.0, load=0.0), done(1, ""))
    for number in (2, 3):
        call.after(heard(4.0, load=0.0), done(number, ""))
    call.after(heard(0.1, load=1.0)).when(heard(3.9, load=0.0))
    window = call.the(Transcribe).window
    assert (window.start_s, window.end_s) == (4.0, 17.0)


@pytest.mark.parametrize("order", [lambda *both: both, lambda *both: both[::-1]])
def test_slow_looks_hear_less(order: Callable[..., tuple[ev.Event, ...]]) -> None:
    """Where a look took long, the next hears less of what was said before: what takes 0.3 s."""
    talk = WindowSettings(window_s=5.0, context_s=15.0, context_busy_s=6.0)
    lengths_s = []
    for took_s in (0.2, 0.375, 4.0):
        call = buffering(talk).after(heard(5.0, load=0.0), done(1, ""))
        for number in (2, 3):
            call.after(heard(4.0, load=0.0), done(number, ""))
        look_done = ev.InferenceDone(4, (), took_s)
        call.after(heard(1.0, load=0.0), *order(look_done, heard(0.5, load=0.0)))
        window = call.the(Transcribe).window
        lengths_s.append(window.end_s - window.start_s)
    assert lengths_s == [14.5, 10.5, 2.5]


def test_slow_inference_of_chunks() -> None:
    """Who waits for the words of a chunk waits no longer than for a look, either."""
    talk = WindowSettings(context_s=15.0, context_busy_s=6.0)
    lengths_s = []
    for took_s in (0.15, 0.8):
        call = buffering(talk)
        for number in range(1, 5):
            call.after(ev.AudioReceived(speech(3.0), chunk_s=3.0, load=0.0))
            window = call.the(Transcribe).window
            call.after(ev.InferenceDone(number, (), took_s))
        lengths_s.append(window.end_s - window.start_s)
    assert lengths_s == [12.0, 4.0]


def test_frames_are_no_chunks() -> None:
    """A short frame of silence between frames of speech is no pause."""
    frame = ev.AudioReceived(quiet(0.1).samples, chunk_s=0.1)
    buffering().after(heard(1.0)).when(frame).then("buffering", WAIT_FOR_PAUSE)


def test_no_chunk_is_a_pause(runtime: SimulatedRuntime) -> None:
    """Two seconds of speech and then nothing are transcribed 0.3 s later."""
    call = live(runtime).after(*CONNECT, heard(2.0))
    call.advance(0.29).then("buffering")
    call.advance(0.02).then("inferring", Transcribe)
    assert asked(call) == (Cut.STALL, 0.0, 2.0)


def test_no_chunk_after_silence(runtime: SimulatedRuntime) -> None:
    """When the audio stops in silence no word can be cut: that is a pause, too."""
    call = live(runtime).after(*CONNECT, heard(1.0), quiet(0.2)).advance(0.31)
    assert asked(call) == (Cut.PAUSE, 0.0, 1.2)


def test_audio_moves_the_pause(runtime: SimulatedRuntime) -> None:
    """As long as speech keeps coming there is no pause."""
    call = live(runtime).after(*CONNECT)
    for _ in range(4):
        call.after(heard(1.0)).advance(0.29).then("buffering")


def test_pause_without_new_speech() -> None:
    """A pause after speech that is cut already cuts nothing."""
    call = buffering().after(heard(5.0), done(1, ""))
    call.when(ev.PauseElapsed()).then("buffering")


def test_cut_due() -> None:
    """A window that is due is taken and given to the inference actor in the same turn."""
    call = buffering().after(heard(1.0)).when(ev.CutDue()).then("inferring", Transcribe)
    assert [step.target for step in call.steps] == ["window_ready", "inferring"]


# ---------------------------------------------------------------- looking ahead
def test_eager_look() -> None:
    """While the contexts are idle, a window that still grows is looked at, first after 0.34 s."""
    call = buffering().after(heard(0.32, load=0.0)).when(heard(0.02, load=0.0))
    assert asked(call) == (Cut.EAGER, 0.0, 0.34)


def test_quiet_is_nothing_to_look_at() -> None:
    """What counts for a look begins with the first sound, not with the quiet kept before it."""
    call = buffering().after(quiet(1.0)).when(heard(0.32, load=0.0))
    call.then("buffering", WAIT_FOR_PAUSE).when(heard(0.02, load=0.0))
    assert asked(call)[::2] == (Cut.EAGER, 1.34)


def test_look_with_context() -> None:
    """Where something was said just before, the next utterance is looked at from 0.14 s on."""
    call = buffering(WindowSettings(context_s=6.0)).after(heard(1.0), quiet(0.3), done(1, ""))
    call.when(heard(0.12, load=0.0)).then("buffering", WAIT_FOR_PAUSE)
    call.when(heard(0.02, load=0.0))
    assert asked(call) == (Cut.EAGER, 1.2, 1.44)


def test_load_widens_the_step() -> None:
    """With half of the contexts' time in use, looks are 0.4 s apart."""
    call = buffering().after(heard(1.6, load=0.5), done(1, ""))
    call.when(heard(0.38, load=0.5)).then("buffering", WAIT_FOR_PAUSE)
    call.when(heard(0.02, load=0.5))
    assert asked(call) == (Cut.EAGER, 0.0, 2.0)


def test_first_words_are_wanted_soon() -> None:
    """Until the first word of an utterance is there, looks are 0.14 s apart up to 60 % load."""
    call = buffering().after(heard(0.34, load=0.6), done(1, ""))
    assert asked(call.when(heard(0.14, load=0.6))) == (Cut.EAGER, 0.0, 0.48)
    busy = buffering().after(heard(0.98, load=0.75)).when(heard(0.02, load=0.75))
    assert asked(busy) == (Cut.EAGER, 0.0, 1.0)


def test_after_the_first_word_looks_are_rarer() -> None:
    """Once it is committed the step is the usual one, at 60 % load 0.5 s."""
    call = buffering().after(heard(0.7, load=0.6), done(1, "yes sir"), ev.TextAccepted(1))
    call.when(heard(0.48, load=0.6)).then("buffering", WAIT_FOR_PAUSE)
    call.when(heard(0.02, load=0.6))
    assert asked(call) == (Cut.EAGER, 0.0, 1.2)


def test_no_eager_look_at_saturation() -> None:
    """When the contexts have no time left, nobody's window waits for a look ahead."""
    buffering().when(heard(4.9, load=1.0)).then("buffering", WAIT_FOR_PAUSE)


def test_no_eager_look_when_turned_off() -> None:
    """With an eager step of 0 there are no looks ahead."""
    call = buffering(WindowSettings(eager_step_s=0.0)).when(heard(4.9, load=0.0))
    call.then("buffering", WAIT_FOR_PAUSE)


# ---------------------------------------------------------------- a look in a hush
def silent(seconds: float) -> ev.AudioReceived:
    """Silence while the contexts are idle, the last 20 ms of it a frame of its own."""
    return ev.AudioReceived(silence(seconds), chunk_s=0.02, load=0.0)


def hushed() -> Scenario[Call]:
    """A second was looked at, and is looked at again after a tenth of a second of silence."""
    call = buffering().after(heard(1.0, load=0.0), done(1, ""))
    return call.after(silent(0.1))


def test_look_in_a_hush() -> None:
    """Where it is quiet for a tenth of a second, all of the speech is looked at once."""
    call = buffering().after(heard(1.0, load=0.0), done(1, "")).when(silent(0.08))
    call.then("buffering", WAIT_FOR_PAUSE).when(silent(0.02))
    assert asked(call) == (Cut.HUSH, 0.0, 1.1)
    call.after(done(2, "")).when(silent(0.18)).then("buffering", WAIT_FOR_PAUSE)


def test_window_that_a_look_in_the_hush_has_heard() -> None:
    """When the pause comes, what that look held back is forwarded; nothing is heard again."""
    call = hushed().after(done(2, "hello there")).when(silent(0.2))
    call.then("forwarding", ForwardText)
    assert (forwarded(call), call.model.merger.held) == ("hello there", ())
    assert [step.target for step in call.steps][-2:] == ["deduping", "forwarding"]


def test_window_whose_words_are_all_forwarded() -> None:
    """The look before had the same words, so nothing is left to say."""
    call = buffering().after(heard(1.0, load=0.0), done(1, "hello there"))
    call.after(ev.TextAccepted(1), silent(0.1), done(2, "hello there"))
    assert call.model.merger.held == ()
    call.after(ev.TextAccepted(2)).when(silent(0.2)).then("buffering")


def test_pause_while_the_look_in_the_hush_runs() -> None:
    """Its answer is the window's."""
    call = hushed().after(ev.InferenceStarted(2), silent(0.2))
    assert forwarded(call.when(done(2, "hello there"))) == "hello there"


def test_pause_while_the_look_in_the_hush_waits() -> None:
    """The window takes its place."""
    call = hushed().when(silent(0.2)).then("inferring", Transcribe)
    assert asked(call) == (Cut.PAUSE, 0.0, 1.2)


def test_end_after_a_look_in_the_hush() -> None:
    """Who hangs up in the hush has been heard, too."""
    call = hushed().after(done(2, "hello there")).when(END).then("forwarding", *DRAIN, ForwardText)
    call.when(ev.TextAccepted(1)).then("closed", EndCall(EndReason.END_OF_STREAM))


def test_speech_after_a_hush() -> None:
    """Where somebody speaks on, the window is heard."""
    call = hushed().after(done(2, "hello there")).after(heard(0.1)).when(quiet(0.3))
    assert asked(call) == (Cut.PAUSE, 0.0, 1.4)


@pytest.mark.parametrize("answer", [failed(2), ev.InferenceDone(2, words("hello", 9.0))])
def test_look_in_a_hush_that_is_no_use(answer: Event) -> None:
    """Where it failed, or its words have no times, the window is heard."""
    call = hushed().after(answer).when(silent(0.2)).then("inferring", Transcribe)
    assert asked(call) == (Cut.PAUSE, 0.0, 1.2)


# ---------------------------------------------------------------- a look that fails
def test_failed_look() -> None:
    """A look ahead that fails loses nothing: a window will hear its audio again."""
    call = buffering().after(heard(1.0, load=0.0)).when(failed(1))
    noted = Note("look_failed", "window 1 (0.0 to 1.0 s): out of memory")
    call.then("buffering", noted, AbandonInference(1))
    call.when(END)
    assert asked(call) == (Cut.END, 0.0, 1.0)


def test_failed_look_and_its_window() -> None:
    """A window that was complete before its look failed is asked for at once."""
    call = buffering().after(heard(1.0, load=0.0), ev.InferenceStarted(1), chunk(1.0))
    call.when(failed(1)).then("inferring", Note, AbandonInference(1), Transcribe)
    assert asked(call) == (Cut.PAUSE, 0.0, 2.0)


def test_second_look_sees_the_whole_window() -> None:
    """The second look is due 0.2 s later, and sees the window from its start."""
    call = buffering().after(heard(1.5, load=0.0), done(1, "one two", 0.2))
    call.when(heard(0.1, load=0.0)).then("buffering", WAIT_FOR_PAUSE)
    call.when(heard(0.1, load=0.0))
    assert asked(call) == (Cut.EAGER, 0.0, 1.7)


# ---------------------------------------------------------------- words held back
def test_held_words_are_settled_by_silence(runtime: SimulatedRuntime) -> None:
    """Words held back are forwarded when nothing came for 1.0 s that could change them."""
    call = live(runtime).after(*CONNECT, heard(5.0), done(1, TWELVE), ev.TextAccepted(1))
    call.advance(0.99).then("buffering")
    call.advance(0.02).then("forwarding", ForwardText(2, words("eleven twel", 4.0)))


def test_held_words_wait_while_speech_goes_on() -> None:
    """While speech goes on the held words wait: the next window hears them again."""
    call = buffering().after(heard(5.0), done(1, TWELVE), ev.TextAccepted(1), heard(0.5))
    call.when(ev.HeldWordsElapsed()).then_policy(Policy.IGNORE)


# ---------------------------------------------------------------- the end of the call
def test_end_of_stream_cuts_the_tail() -> None:
    """At the end of the stream the tail is cut, transcribed and forwarded; then the call ends."""
    call = buffering().after(heard(1.0)).when(END)
    call.then("inferring", *DRAIN, Transcribe)
    assert asked(call) == (Cut.END, 0.0, 1.0)
    call.when(done(1, "good bye"))
    assert forwarded(call) == "good bye"
    call.when(ev.TextAccepted(1)).then("closed", EndCall(EndReason.END_OF_STREAM))


def test_end_of_stream_in_mid_frame() -> None:
    """Not a sample of the tail is lost when it is no whole number of 20 ms frames."""
    call = buffering().after(ev.AudioReceived(speech(1.01))).when(END)
    assert asked(call) == (Cut.END, 0.0, 1.02)


def test_end_of_stream_in_silence() -> None:
    """At the end of the stream a call closes at once when nothing was said since."""
    call = buffering().after(quiet(3.0)).when(END)
    call.then("closed", *DRAIN, EndCall(EndReason.END_OF_STREAM))


def test_end_of_stream_settles_held_words() -> None:
    """At the end of the stream the words held back are forwarded; then the call ends."""
    call = buffering().after(heard(5.0), done(1, TWELVE), ev.TextAccepted(1)).when(END)
    assert forwarded(call) == "eleven twel"
    call.when(ev.TextAccepted(2)).then("closed", EndCall(EndReason.END_OF_STREAM))


def test_drained() -> None:
    """When all that was heard is forwarded, the call is over."""
    call = buffering().after(END)
    assert [str(step) for step in call.steps] == [
        "buffering + StreamEnded -> buffering",
        "buffering + Drained -> closed",
    ]


def test_bye() -> None:
    """A BYE means: read on, until no audio came for two seconds."""
    call = buffering().when(ev.Bye())
    call.then("buffering", SetTimer(GRACE, 2.0, ev.GraceElapsed()))


def test_bye_before_the_audio(runtime: SimulatedRuntime) -> None:
    """Audio that comes after the BYE is heard, and moves the grace time."""
    call = live(runtime).after(*CONNECT, ev.Bye())
    call.advance(1.9).then("buffering")
    call.after(quiet(0.02)).advance(1.9).then("buffering")
    call.after(chunk(1.0), done(1, "good bye")).when(ev.TextAccepted(1)).then("buffering")
    call.advance(2.1).then("closed", EndCall(EndReason.BYE))


def test_grace_elapsed_cuts_the_tail() -> None:
    """When the grace time is over, the tail is cut, as at the end of the stream."""
    call = buffering().after(ev.Bye(), heard(1.0)).when(ev.GraceElapsed())
    call.then("inferring", *DRAIN, Transcribe)
    assert asked(call) == (Cut.END, 0.0, 1.0)


def test_idle(runtime: SimulatedRuntime) -> None:
    """Five minutes without audio end the call."""
    call = live(runtime).after(*CONNECT)
    call.advance(299).then("buffering")
    call.advance(2).then("closed", EndCall(EndReason.IDLE))


def test_silence_is_not_idle(runtime: SimulatedRuntime) -> None:
    """Audio, even silent, gives the call another five minutes."""
    call = live(runtime).after(*CONNECT)
    for _ in range(3):
        call.advance(200).then("buffering")
        call.after(quiet(0.02))


# ---------------------------------------------------------------- mode "chunk"
def test_chunk_mode_infers_chunks_whole() -> None:
    """In mode "chunk" a chunk of 31 s is one window, however it arrives."""
    call = buffering(WindowSettings(mode="chunk")).after(quiet(16.0))
    call.when(ev.AudioReceived(speech(15.0), chunk_s=31.0)).then("inferring", Transcribe)
    assert asked(call) == (Cut.CHUNK, 0.0, 31.0)


def test_chunk_mode_takes_one_chunk_at_a_time() -> None:
    """In mode "chunk" the next chunk waits for the text of the one before."""
    call = buffering(WindowSettings(mode="chunk")).after(chunk(2.0), chunk(3.0), done(1, "one"))
    call.when(ev.TextAccepted(1)).then("inferring", Transcribe)
    assert asked(call) == (Cut.CHUNK, 2.0, 5.0)


@every_other_event(
    ignored=[
        ev.Registered(),
        STALE_RESULT,
        ev.InferenceStarted(1),
        STALE_FAILURE,
        STALE_ACCEPT,
        ev.HeldWordsElapsed(),
    ],
    rejected=[
        ev.AudioConnected(),
        ev.ConnectFailed(),
        ev.GiveUp(),
        ev.InferenceOverdue(),
        ev.AcceptOverdue(),
        ev.WindowTaken(),
        NEW_TEXT,
        ev.NothingNew(),
    ],
)
def test_other_events(event: Event, policy: Policy) -> None:
    """A repeated REGISTER and late answers are ignored; the work of other states cannot come."""
    buffering().when(event).then_policy(policy)
