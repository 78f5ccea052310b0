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

from benchmarks.stream_settings import MODEL, arguments_of, player
from callfsm.errors import ConfigError
from service.engines.whispercpp import whole_file_text
from service.speech.audio_file import read_audio
from service.speech.corpus import SpokenCall, calls_out_of, continuous
from service.speech.telephone import telephone
from service.speech.wer import WordErrors, word_errors
from service.weights.resolve import resolve

VOICES = ("slt", "rms", "awb")
SENTENCES = Path(__file__).with_name("sentences.txt")
LOUDNESS = 0.8  # flite's voices reach full scale


def main() -> None:
    """Parse the settings, play the calls, print the lines."""
    parser = arguments_of(__doc__, load=0.3)
    parser.add_argument("--calls", type=int, default=2, help="of each voice")
    parser.add_argument("--seconds", type=float, default=60.0, help="each at least")
    arguments = parser.parse_args()
    play = player(arguments)
    all_live, all_whole = WordErrors(), WordErrors()
    for voice in VOICES:
        live, whole = WordErrors(), WordErrors()
        for call in calls_of(voice, arguments):
            live += word_errors(call.text, play(call).text)
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
        f"WER {live.wer:.1%}, whole file {whole.wer:.1%}; errors {live.errors} "
        f"and {whole.errors} of {live.reference_words}"
    )


if __name__ == "__main__":
    main()
