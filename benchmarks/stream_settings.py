"""What the settings of windows do to accuracy: simulated calls with the real model.

    python -m benchmarks.stream_settings --minutes 10 context_s=6 eager_step_s=0

Prints the pooled WER over recorded prompts, and of the same calls as whole files.
"""

import argparse

from callfsm.call.settings import CallSettings, WindowSettings
from callfsm.call.silero import SileroDetector, SileroNetwork
from callfsm.call.speech import WebRtcDetector
from service.bench.accuracy import speech
from service.engines.whispercpp import WhisperCppEngine, whole_file_text
from service.speech.wer import WordErrors, word_errors
from service.trial.simulated import simulate
from service.weights.resolve import resolve


def main() -> None:
    """Parse the settings, play the calls, print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--looks", action="store_true", help="a context is always spare")
    parser.add_argument("--detector", choices=["silero", "webrtc"], default="silero")
    parser.add_argument("--whole", action="store_true", help="also score the whole files")
    parser.add_argument("settings", nargs="*", help="name=value of WindowSettings, in seconds")
    arguments = parser.parse_args()
    chosen = {name: float(value) for name, value in (s.split("=") for s in arguments.settings)}
    settings = CallSettings(windows=WindowSettings(**chosen))  # type: ignore[arg-type]
    weights = resolve("tiny.en")
    engine = WhisperCppEngine(weights)
    engine.load()
    network = SileroNetwork.installed()
    live, whole = WordErrors(), WordErrors()
    for call in speech(arguments.minutes * 60, arguments.seed):
        detector = SileroDetector(network) if arguments.detector == "silero" else WebRtcDetector()
        heard = simulate(
            call.samples, engine, settings=settings, detector=detector, spare=arguments.looks
        )
        live += word_errors(call.text, heard.text)
        if arguments.whole:
            whole += word_errors(call.text, whole_file_text(weights, call.samples))
    print(" ".join(arguments.settings) or "default", f"WER {live.wer:.2%}", live)
    if arguments.whole:
        print("whole file", f"WER {whole.wer:.2%}", whole)


if __name__ == "__main__":
    main()
