"""The same calls by other speakers: errors of the stream beside those of the whole file.

    python -m benchmarks.other_voices --load 0.3 --beam 1
    python -m benchmarks.other_voices --load 1 context_busy_s=15

The sentences of `sentences.txt`, in calls with the pauses of the other benchmarks, through a
telephone line, spoken by three voices of Debian's package `flite`: cut from recordings of an
American woman, an American man and a Scotsman, and harder to understand than the prompts. Nothing
was tuned to them but the number of beams. Prints a line for each voice, and one for all; time is
simulated.
"""

import argparse
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.stream_settings import MODEL, loaded_engine
from callfsm.call.settings import CallSettings, WindowSettings
from callfsm.call.silero import SileroDetector, SileroNetwork
from callfsm.errors import ConfigError
from service.engines import ctranslate2
from service.engines.whispercpp import whole_file_text
from service.speech.audio_file import read_audio
from service.speech.corpus import SpokenCall, calls_out_of, continuous
from service.speech.telephone import telephone
from service.speech.wer import WordErrors, word_errors
from service.trial.simulated import COSTS, simulate
from service.weights.resolve import resolve

VOICES = ("slt", "rms", "awb")
SENTENCES = Path(__file__).with_name("sentences.txt")
LOUDNESS = 0.8  # flite's voices reach full scale


def main() -> None:
    """Parse the settings, play the calls, print the lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2, help="of each voice")
    parser.add_argument("--seconds", type=float, default=60.0, help="each at least")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--load", type=float, default=0.3, help="of the contexts; see `simulate`")
    parser.add_argument("--engine", choices=list(COSTS), default="ctranslate2")
    parser.add_argument("--beam", type=int, default=ctranslate2.BEAM_SIZE)
    parser.add_argument("--continuous", action="store_true", help="without any pause")
    parser.add_argument("settings", nargs="*", help="name=value of WindowSettings, in seconds")
    arguments = parser.parse_args()
    ctranslate2.BEAM_SIZE = arguments.beam
    chosen = {name: float(value) for name, value in (s.split("=") for s in arguments.settings)}
    settings = CallSettings(windows=WindowSettings(**chosen))  # type: ignore[arg-type]
    engine, network = loaded_engine(arguments.engine), SileroNetwork.installed()
    all_live, all_whole = WordErrors(), WordErrors()
    for voice in VOICES:
        live, whole = WordErrors(), WordErrors()
        for call in calls_of(voice, arguments):
            heard = simulate(
                call.samples,
                engine,
                settings=settings,
                detector=SileroDetector(network),
                load=arguments.load,
                cost=COSTS[arguments.engine],
            )
            live += word_errors(call.text, heard.text)
            whole += word_errors(call.text, whole_file_text(resolve(MODEL), call.samples))
        print(voice, _told(live, whole), flush=True)
        all_live, all_whole = all_live + live, all_whole + whole
    print("all", _told(all_live, all_whole))


def calls_of(voice: str, arguments: argparse.Namespace) -> list[SpokenCall]:
    """Calls of this voice, other sentences in each. Raises ConfigError without flite."""
    rng = np.random.default_rng((arguments.seed, VOICES.index(voice)))
    calls = calls_out_of(voice, _said(voice, rng), arguments.calls, arguments.seconds, rng)
    return [continuous(call) for call in calls] if arguments.continuous else calls


def _said(voice: str, rng: np.random.Generator) -> Iterator[tuple[str, NDArray[np.float32]]]:
    sentences = SENTENCES.read_text().splitlines()
    while True:
        for index in rng.permutation(len(sentences)):
            yield sentences[index], _spoken(voice, sentences[index])


@cache
def _spoken(voice: str, sentence: str) -> NDArray[np.float32]:
    if shutil.which("flite") is None:
        raise ConfigError("the voices are not installed; run `apt-get install flite`")
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        subprocess.run(["flite", "-voice", voice, "-t", sentence, "-o", file.name], check=True)
        return telephone(LOUDNESS * read_audio(Path(file.name)))


def _told(live: WordErrors, whole: WordErrors) -> str:
    return (
        f"WER {live.wer:.1%}, whole file {whole.wer:.1%}; errors {_errors(live)} "
        f"and {_errors(whole)} of {live.reference_words}"
    )


def _errors(found: WordErrors) -> int:
    return found.substitutions + found.deletions + found.insertions


if __name__ == "__main__":
    main()
