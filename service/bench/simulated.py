"""A call without sockets or waiting: the call machine and the real engine in simulated time.

Audio arrives in 20 ms frames of simulated time and every inference takes a fixed simulated time, so
the same audio and settings give the same windows and the same text on any machine, several times
faster than real time. For choosing settings and for tests; claims come from trials.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from callfsm.call import effects as ask
from callfsm.call import events as ev
from callfsm.call.call import Call
from callfsm.call.settings import CallSettings
from callfsm.call.speech import SpeechDetector, WebRtcDetector
from callfsm.call.table import call_machine
from callfsm.call.windows import Window
from callfsm.fsm.actor import Actor
from callfsm.fsm.table import Effect
from callfsm.inference.engine import AudioWindow, Engine, Transcript
from callfsm.runtimes.simulated import SimulatedRuntime
from service.speech.latency import Arrival

FRAME_SAMPLES, FRAME_S = 320, 0.02


def play(
    samples: NDArray[np.float32],
    engine: Engine,
    settings: CallSettings | None = None,
    *,
    inference_s: float = 0.25,
    spare: bool = True,
    detector: SpeechDetector | None = None,
    watch: Callable[[Window, Transcript], None] = lambda window, transcript: None,
) -> list[Arrival]:
    """The texts of a call and when they would have arrived.

    `samples`: float32, shape (n,), 16 kHz. `spare`: whether a context is always free for looks
    ahead. `watch` sees every window and what the engine made of it.
    """
    runtime = SimulatedRuntime()
    arrivals: list[Arrival] = []

    def perform(effect: Effect) -> None:
        match effect:
            case ask.ConnectAudio():
                actor.tell(ev.AudioConnected())
            case ask.Transcribe(window):
                [transcript] = engine.transcribe([AudioWindow(window.samples)])
                watch(window, transcript)
                done = ev.InferenceDone(window.number, transcript.words)
                runtime.set_timer(actor, "inference", inference_s, done)
            case ask.ForwardText():
                arrivals.append(Arrival(effect.text, runtime.now_s()))
                actor.tell(ev.TextAccepted(effect.number))

    def crashed(error: Exception) -> None:
        raise error

    call = Call(1, settings or CallSettings(), detector or WebRtcDetector())
    actor = Actor("call 1", call_machine, call, runtime=runtime, perform=perform, crashed=crashed)
    actor.start()
    actor.tell(ev.Registered())
    runtime.settle()
    for at in range(0, len(samples), FRAME_SAMPLES):
        frame = samples[at : at + FRAME_SAMPLES]
        actor.tell(ev.AudioReceived(frame, FRAME_S, spare))
        runtime.advance(FRAME_S)
    actor.tell(ev.StreamEnded(ev.EndReason.END_OF_STREAM))
    runtime.advance(settings.inference_overdue_s if settings else 120.0)
    return arrivals
