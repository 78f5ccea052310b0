"""A call brought into each of its states on the way that a real call takes."""

from callfsm.call import events as ev
from callfsm.call.call import Call
from callfsm.call.effects import ForwardText, Transcribe
from callfsm.call.segmenter import Cut
from callfsm.call.settings import CallSettings, WindowSettings
from callfsm.call.table import call_machine
from callfsm.runtimes.simulated import SimulatedRuntime
from callfsm.testing import Scenario, Simulation, given, simulate
from callfsm.words import Word
from specs.audio import LoudIsSpeech, silence, speech

WORD_S = 0.4  # how long a spoken word takes


def a_call(windows: WindowSettings | None = None) -> Call:
    """Call 7, with the default settings."""
    return Call(7, CallSettings(windows or WindowSettings()), LoudIsSpeech())


def heard(seconds: float, *, load: float = 1.0) -> ev.AudioReceived:
    """So many seconds of speech, the last 20 ms of them a frame of its own."""
    return ev.AudioReceived(speech(seconds), chunk_s=0.02, load=load)


def quiet(seconds: float) -> ev.AudioReceived:
    """So many seconds of silence, in one piece that is no chunk of its own."""
    return ev.AudioReceived(silence(seconds))


def chunk(seconds: float, hangover_s: float = 0.2) -> ev.AudioReceived:
    """A whole speech chunk, as senders with a speech detector send it; `hangover_s` is silent."""
    samples = speech(seconds)
    samples[len(samples) - round(hangover_s * 16_000) :] = 0
    return ev.AudioReceived(samples, chunk_s=seconds)


def words(text: str, start_s: float = 0.0) -> tuple[Word, ...]:
    """Words of `WORD_S` each, without gaps, from `start_s` on."""
    return tuple(
        Word(word, round(start_s + n * WORD_S, 3), round(start_s + (n + 1) * WORD_S, 3))
        for n, word in enumerate(text.split())
    )


def done(window: int, text: str, start_s: float = 0.0) -> ev.InferenceDone:
    """The inference actor's answer: these words, `start_s` after the start of the window."""
    return ev.InferenceDone(window, words(text, start_s))


def failed(window: int) -> ev.InferenceFailed:
    return ev.InferenceFailed(window, "out of memory")


# Fills a window of 5 s; the last two words lie in the overlap with the next window.
TWELVE = "one two three four five six seven eight nine ten eleven twel"
END = ev.StreamEnded(ev.EndReason.END_OF_STREAM)
CONNECT = (ev.Registered(), ev.AudioConnected())
WINDOW_1 = chunk(1.0)  # cut at its pause, at once
STARTED_1 = ev.InferenceStarted(1)
TEXT_1 = done(1, "hello there")


def registered(windows: WindowSettings | None = None) -> Scenario[Call]:
    return given(call_machine, a_call(windows))


def buffering(windows: WindowSettings | None = None) -> Scenario[Call]:
    """Connected; nothing was heard yet."""
    return registered(windows).after(*CONNECT)


def waiting(windows: WindowSettings | None = None) -> Scenario[Call]:
    """Window 1, which ended in a pause, waits for a context; nothing else was heard."""
    return buffering(windows).after(WINDOW_1)


def inferring(windows: WindowSettings | None = None) -> Scenario[Call]:
    """A context has begun with window 1; it ended in a pause, and nothing else was heard."""
    return waiting(windows).after(STARTED_1)


def forwarding(windows: WindowSettings | None = None) -> Scenario[Call]:
    """Text 1, of window 1, is given to the link and the store; nothing else was heard."""
    return inferring(windows).after(TEXT_1)


def live(runtime: SimulatedRuntime, windows: WindowSettings | None = None) -> Simulation[Call]:
    """A registered call that runs as an actor in frozen time."""
    return simulate(call_machine, a_call(windows), runtime)


def asked(call: Scenario[Call]) -> tuple[Cut, float, float]:
    """The window that is to be transcribed: why it was cut, and from when to when it is new."""
    window = call.the(Transcribe).window
    return window.cut, round(window.fresh_s, 3), round(window.end_s, 3)


def forwarded(call: Scenario[Call]) -> str:
    """The text that is forwarded."""
    return call.the(ForwardText).text


# Answers that nobody waits for.
STALE_RESULT = done(99, "of another window")
STALE_FAILURE = failed(99)
STALE_ACCEPT = ev.TextAccepted(99)
NEW_TEXT = ev.NewText(words("unexpected"))
