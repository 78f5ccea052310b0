"""What recording costs: CPU seconds of the same calls with and without it, beside their inference.

    flock /tmp/cpu.lock python -m benchmarks.recording --calls 40 --seconds 30

Recorded prompts as 20 ms frames, all calls at once in simulated time, through the real detector and
the real machine; the logs go through the server's own writer to a directory. Inference is timed on
one call's windows with the real model, and taken for all of them.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import numpy as np
from numpy.typing import NDArray

from callfsm.call import effects as ask
from callfsm.call import events as ev
from callfsm.call.call import Call
from callfsm.call.settings import CallSettings
from callfsm.call.silero import SileroDetector, SileroNetwork
from callfsm.call.speech import FRAME_S, FRAME_SAMPLES, SpeechDetector
from callfsm.call.table import call_machine
from callfsm.fsm.actor import Actor
from callfsm.fsm.table import Effect
from callfsm.runtimes.simulated import SimulatedRuntime
from callfsm.words import Word
from service.bench.accuracy import speech
from service.engines.whispercpp import WhisperCppEngine
from service.metrics import Metrics
from service.recording import Recording
from service.trial.simulated import simulate
from service.weights.resolve import resolve

SETTINGS = CallSettings()
WORDS = tuple(Word(f"word{n}", n * 0.3, n * 0.3 + 0.3, 0.9) for n in range(6))  # of a window


def main() -> None:
    """Play the calls each way, and print CPU seconds and shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=30.0, help="of audio of each call")
    parser.add_argument(
        "--repeat", type=int, default=3, help="the least CPU of so many runs counts"
    )
    arguments = parser.parse_args()
    spoken = np.concatenate([call.samples for call in speech(max(60.0, arguments.seconds), 1)])
    samples = spoken[: round(arguments.seconds * 16_000)]
    network = SileroNetwork.installed()

    def least(audio: bool | None) -> tuple[float, int]:
        runs = [_run(samples, arguments.calls, network, audio) for _ in range(arguments.repeat)]
        return min(runs)

    plain_s, _ = least(None)
    recorded_s, log_bytes = least(False)
    with_audio_s, audio_bytes = least(True)
    inference_s = _inference_s(samples, network) * arguments.calls
    total_s = plain_s + inference_s
    heard_s = arguments.calls * len(samples) / 16_000
    print(f"{arguments.calls} calls of {len(samples) / 16_000:.0f} s: CPU seconds")
    print(f"  machine and detector {plain_s:.2f}, inference {inference_s:.2f}")
    for name, cpu_s, size in (
        ("recording", recorded_s - plain_s, log_bytes),
        ("with audio", with_audio_s - plain_s, audio_bytes),
    ):
        print(
            f"  {name:11} {cpu_s:.2f}: {cpu_s / total_s:.2%} of all, "
            f"{cpu_s / heard_s / 50 * 1e6:.1f} us a frame, {size / heard_s / 1000:.1f} KB a second"
        )


def _run(
    samples: NDArray[np.float32], calls: int, network: SileroNetwork, audio: bool | None
) -> tuple[float, int]:
    """(CPU seconds, bytes of logs) of all calls at once; `audio` is None for no recording."""
    with tempfile.TemporaryDirectory() as name:
        directory, runtime = Path(name), SimulatedRuntime()
        recording = None
        if audio is not None:
            recording = Recording(directory, audio=audio, now_s=runtime.now_s, metrics=Metrics())
        begin_s = time.process_time()
        actors = [_place(n, runtime, network, recording) for n in range(1, calls + 1)]
        for at, frame in enumerate(_frames(samples)):
            for actor in actors:
                actor.tell(ev.AudioReceived(frame, FRAME_S))
            runtime.advance(FRAME_S)
            if at % 25 == 0:
                gevent.sleep(0.01)  # half a second of the calls: the writer has its turn
        for actor in actors:
            actor.tell(ev.StreamEnded(ev.EndReason.END_OF_STREAM))
        while not all(actor.stopped for actor in actors):
            runtime.advance(1.0)
        if recording is not None:
            recording.close()
        cpu_s = time.process_time() - begin_s
        return cpu_s, sum(path.stat().st_size for path in directory.iterdir())


def _place(
    call_id: int, runtime: SimulatedRuntime, network: SileroNetwork, recording: Recording | None
) -> Actor[Call]:
    """A connected call whose windows are answered at once."""
    machine = call_machine
    detector: SpeechDetector = SileroDetector(network)
    if recording is not None:
        recorder = recording.call(call_id, SETTINGS, detector)
        machine, detector = recorder.machine, recorder.detector

    def perform(effect: Effect) -> None:
        match effect:
            case ask.ConnectAudio():
                actor.tell(ev.AudioConnected())
            case ask.Transcribe(window):
                actor.tell(ev.InferenceDone(window.number, WORDS))
            case ask.ForwardText(number):
                actor.tell(ev.TextAccepted(number))

    call = Call(call_id, SETTINGS, detector)
    actor: Actor[Call] = Actor(
        call_id, machine, call, runtime=runtime, perform=perform, crashed=_raise
    )
    actor.start()
    actor.tell(ev.Registered())
    runtime.settle()
    return actor


def _inference_s(samples: NDArray[np.float32], network: SileroNetwork) -> float:
    """CPU seconds of the real model on one call."""
    engine = WhisperCppEngine(resolve("tiny.en"))
    engine.load()
    with_s = _cpu_s(lambda: simulate(samples, engine, detector=SileroDetector(network)))
    engine.close()
    return with_s


def _cpu_s(work: Callable[[], object]) -> float:
    begin_s = time.process_time()
    work()
    return time.process_time() - begin_s


def _frames(samples: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(samples), FRAME_SAMPLES):
        yield samples[start : start + FRAME_SAMPLES]


def _raise(error: Exception) -> None:
    raise error


if __name__ == "__main__":
    main()
