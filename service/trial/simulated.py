"""One call through the real machine and a real engine, faster than life: no sockets, no server.

Time is simulated, so the windows are the same on any machine and under any load.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from callfsm.call import effects as ask
from callfsm.call import events as ev
from callfsm.call.call import Call
from callfsm.call.segmenter import Cut
from callfsm.call.settings import CallSettings
from callfsm.call.speech import FRAME_S, FRAME_SAMPLES, SpeechDetector, WebRtcDetector
from callfsm.call.table import call_machine
from callfsm.call.windows import Window
from callfsm.fsm.actor import Actor
from callfsm.inference.engine import AudioWindow, Engine, Transcript
from callfsm.runtimes.simulated import SimulatedRuntime
from callfsm.words import Word

DEFAULTS = CallSettings()


@dataclass(frozen=True, slots=True)
class InferenceCost:
    """Seconds that any window takes, and each second of its audio more."""

    window_s: float
    audio_s: float

    def of(self, window: Window) -> float:
        return self.window_s + self.audio_s * window.audio.duration_s


# By the engine's name, tiny.en on one core: an AMD EPYC with AVX-512 (Zen 5), and for whisper.cpp
# one without (Zen 4; q8_0 weights, medians of windows of 3 to 20 s: 0.34 to 1.45 s).
COSTS = {"ctranslate2": InferenceCost(0.045, 0.011), "whispercpp": InferenceCost(0.17, 0.06)}


@dataclass
class Heard:
    """What became of a call's audio."""

    texts: list[str] = field(default_factory=list)
    words: list[tuple[Word, float]] = field(default_factory=list)  # and when it was forwarded
    windows: list[Window] = field(default_factory=list)
    transcripts: list[Transcript] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    @property
    def inference_s(self) -> float:
        """Seconds the engine really took."""
        return sum(transcript.inference_s for transcript in self.transcripts)


def simulate(
    samples: NDArray[np.float32],
    engine: Engine,
    *,
    settings: CallSettings = DEFAULTS,
    detector: SpeechDetector | None = None,
    load: float = 1.0,
    cost: InferenceCost = COSTS["ctranslate2"],
) -> Heard:
    """Play `samples` (float32, shape (n,), 16 kHz) as a call of 20 ms frames, and hang up.

    `load` is the share of the contexts' time in use; with less than 1 looks ahead are taken.
    `cost` is what inference is supposed to take, however long the engine really does.
    """
    runtime, heard = SimulatedRuntime(), Heard()
    call = Call(1, settings, detector or WebRtcDetector())
    actor: Actor[Call] = Actor(
        "call 1",
        call_machine,
        call,
        runtime=runtime,
        perform=lambda effect: _perform(effect, actor, runtime, engine, heard, cost=cost),
        crashed=_crashed,
    )
    actor.start()
    actor.tell(ev.Registered())
    runtime.settle()
    for start in range(0, len(samples), FRAME_SAMPLES):
        frame = samples[start : start + FRAME_SAMPLES]
        actor.tell(ev.AudioReceived(frame, FRAME_S, load))
        runtime.advance(FRAME_S)
    actor.tell(ev.Bye())
    actor.tell(ev.StreamEnded(ev.EndReason.END_OF_STREAM))
    while call.state != "closed":
        runtime.advance(1.0)
    return heard


def _perform(
    effect: object,
    actor: Actor[Call],
    runtime: SimulatedRuntime,
    engine: Engine,
    heard: Heard,
    *,
    cost: InferenceCost,
) -> None:
    if isinstance(effect, ask.ConnectAudio):
        actor.tell(ev.AudioConnected())
    elif isinstance(effect, ask.Transcribe):
        window = effect.window
        is_look = window.cut is Cut.EAGER
        [transcript] = engine.transcribe([AudioWindow(window.samples, is_look, effect.thorough)])
        heard.windows.append(window)
        heard.transcripts.append(transcript)
        actor.tell(ev.InferenceStarted(window.number))
        takes_s = cost.of(window)
        done = ev.InferenceDone(window.number, transcript.words, takes_s)
        runtime.set_timer(actor, "inference", takes_s, done)
    elif isinstance(effect, ask.ForwardText):
        heard.texts.append(effect.text)
        heard.words += ((word, runtime.now_s()) for word in effect.words)
        actor.tell(ev.TextAccepted(effect.number))


def _crashed(error: BaseException) -> None:
    raise error
