"""What the settings of windows do to accuracy and latency: simulated calls with the real model.

    python -m benchmarks.stream_settings --minutes 10 --load 0.3 context_s=10 lookahead_s=0.8

Prints one line: the pooled WER, and how long text came after its word, after the onset of an
utterance (the first) and after its end (the last), where inference takes what
`service/trial/simulated.py` supposes of the engine, or `--cost` says. Words are timed by the passes
themselves. Time is simulated, so load on the machine changes nothing but the CPU figure.
"""

import argparse
from collections import Counter
from collections.abc import Callable

import numpy as np

from callfsm.call.settings import CallSettings, WindowSettings
from callfsm.call.silero import SileroDetector, SileroNetwork
from callfsm.inference.engine import Engine
from service.bench.calls import speech
from service.bench.ways import Server
from service.engines import ctranslate2
from service.engines.whispercpp import whole_file_text
from service.speech.corpus import SpokenCall, continuous
from service.speech.latency import HeardWord, Utterance, utterances
from service.speech.wer import WordErrors, word_errors
from service.trial.simulated import COSTS, Heard, InferenceCost, simulate
from service.weights.resolve import resolve

MODEL = "tiny.en"


def main() -> None:
    """Parse the settings, play the calls, print one line."""
    parser = arguments_of(__doc__, load=1.0)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--synthetic", action="store_true", help="another speaker: the voice")
    parser.add_argument("--whole", action="store_true", help="also score the whole files")
    arguments = parser.parse_args()
    play = player(arguments)
    live, whole = WordErrors(), WordErrors()
    latencies_s: list[float] = []
    spoken: list[Utterance] = []
    inference_s, guards = 0.0, Counter[str]()
    calls = _calls(arguments)
    for call in calls:
        heard = play(call)
        live += word_errors(call.text, heard.text)
        latencies_s += [at_s - word.end_s for word, at_s in heard.words]
        words = [HeardWord(word.end_s, at_s, text=0, right=True) for word, at_s in heard.words]
        spoken += utterances(call, words)
        inference_s += heard.inference_s
        guards.update(guard for transcript in heard.transcripts for guard in transcript.guards)
        if arguments.whole:
            whole += word_errors(call.text, whole_file_text(resolve(MODEL), call.samples))
    first_texts_s = [u.first_text_s for u in spoken if u.first_text_s is not None]
    last_texts_s = [u.final_text_s for u in spoken if u.final_text_s is not None]
    print(
        " ".join(arguments.settings) or "default",
        f"WER {live.wer:.2%} ({live.substitutions} {live.deletions} {live.insertions}",
        f"of {live.reference_words})",
        f"latency mean {np.mean(latencies_s):.2f} p95 {np.percentile(latencies_s, 95):.2f} s",
        f"first text p50 {np.median(first_texts_s):.2f} s",
        f"last text mean {np.mean(last_texts_s):.2f} p95 {np.percentile(last_texts_s, 95):.2f} s",
        f"CPU {inference_s / sum(call.duration_s for call in calls):.3f} s/s",
        dict(guards),
        f"whole file {whole.wer:.2%}" if arguments.whole else "",
        flush=True,
    )


def arguments_of(description: str | None, *, load: float) -> argparse.ArgumentParser:
    """How calls are played: what `player` needs, and the seed."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--load", type=float, default=load, help="of the contexts, 0..1; looks are taken below 1"
    )
    parser.add_argument("--engine", choices=list(COSTS), default="ctranslate2")
    parser.add_argument(
        "--cost", type=float, nargs=2, metavar="S", help="of a window, and of a second of it"
    )
    parser.add_argument("--beam", type=int, default=ctranslate2.BEAM_SIZE, help="up to 60 %% load")
    parser.add_argument("--continuous", action="store_true", help="without any pause")
    parser.add_argument("settings", nargs="*", help="name=value of WindowSettings, in seconds")
    return parser


def player(arguments: argparse.Namespace) -> Callable[[SpokenCall], Heard]:
    """What plays a call as these arguments say, with an engine that is loaded once."""
    chosen = {name: float(value) for name, value in (s.split("=") for s in arguments.settings)}
    settings = CallSettings(windows=WindowSettings(**chosen))  # type: ignore[arg-type]
    ctranslate2.BEAM_SIZE = arguments.beam
    engine, network = loaded_engine(arguments.engine), SileroNetwork.installed()
    cost = InferenceCost(*arguments.cost) if arguments.cost else COSTS[arguments.engine]

    def play(call: SpokenCall) -> Heard:
        return simulate(
            call.samples,
            engine,
            settings=settings,
            detector=SileroDetector(network),
            load=arguments.load,
            cost=cost,
        )

    return play


def loaded_engine(name: str) -> Engine:
    """`name` is "ctranslate2" or "whispercpp"; tiny.en, as `callfsm serve` has it by default."""
    return Server(MODEL, name).choice().loaded()


def _calls(arguments: argparse.Namespace) -> list[SpokenCall]:
    seconds = arguments.minutes * 60
    calls = speech(seconds, arguments.seed, synthetic=arguments.synthetic)
    return [continuous(call) for call in calls] if arguments.continuous else list(calls)


if __name__ == "__main__":
    main()
