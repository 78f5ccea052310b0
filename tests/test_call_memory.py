"""What a call takes that holds all the audio a call holds while nobody is late (A7)."""

import gc
import tracemalloc

from callfsm.audio import SAMPLE_RATE_HZ
from callfsm.call import effects as ask
from callfsm.call import events as ev
from callfsm.call.call import Call
from callfsm.call.settings import CallSettings
from callfsm.call.silero import SileroDetector, SileroNetwork
from callfsm.call.table import call_machine
from callfsm.fsm.actor import Actor
from callfsm.fsm.table import Effect
from callfsm.runtimes.simulated import SimulatedRuntime
from service.audio import AudioConnection
from service.beat import Beat
from service.metrics import Metrics
from tests.test_companding import voice
from tests.test_telephone_band import taken_bytes

CALLS, PIECE = 30, 1600


class AlwaysSpeech:
    """So that every call holds as much context as there can be."""

    def __init__(self, silero: SileroDetector) -> None:
        self._silero = silero  # takes its memory

    def is_speech(self, frame: bytes) -> bool:
        return True


def buffering_call(number: int, network: SileroNetwork, runtime: SimulatedRuntime) -> object:
    """A call, its actor and its connection, that heard 19 s: a window of 15 s, and 4 s more."""
    call = Call(number, CallSettings(), AlwaysSpeech(SileroDetector(network)))

    def perform(effect: Effect) -> None:
        match effect:
            case ask.ConnectAudio():
                actor.tell(ev.AudioConnected())
            case ask.Transcribe(window):
                actor.tell(ev.InferenceStarted(window.number))
                actor.tell(ev.InferenceDone(window.number, ()))

    actor: Actor[Call] = Actor(
        number, call_machine, call, runtime=runtime, perform=perform, crashed=_raise
    )
    connection = AudioConnection(
        number,
        ("127.0.0.1", 9001),
        actor,
        lambda: 0.0,
        METRICS,
        beat=BEAT,
        is_quiet=lambda: True,
        passed_on=lambda _: None,
    )
    actor.start()
    actor.tell(ev.Registered())
    runtime.settle()
    for at in range(0, len(SPOKEN), PIECE):
        actor.tell(ev.AudioReceived(SPOKEN[at : at + PIECE], PIECE / SAMPLE_RATE_HZ, 0.5))
        runtime.settle()
    assert call.state == "buffering"
    assert call.windows.heard_s == 19.0
    return actor, connection


def _raise(error: Exception) -> None:
    raise error


METRICS = Metrics()
BEAT = Beat()
SPOKEN = voice(0.5, seed=1, seconds=19.0)


def test_a_buffering_call_takes_less_than_100_kb() -> None:
    """Audio, and all that is Python's: model, actor, mailbox, timers, detector, connection."""
    network, runtime = SileroNetwork.installed(), SimulatedRuntime()
    buffering_call(0, network, runtime)
    gc.collect()
    before = taken_bytes()
    tracemalloc.start()
    try:
        calls = [buffering_call(number, network, runtime) for number in range(1, CALLS + 1)]
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
        taken += taken_bytes() - before
    finally:
        tracemalloc.stop()
    per_call = taken / len(calls)
    print(f"{per_call / 1000:.1f} KB a call")
    assert per_call < 100_000
