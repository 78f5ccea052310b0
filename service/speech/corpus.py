"""Spoken calls with their reference text: what the demo plays and the benchmarks score.

A call is made of whole phrases with pauses between them, none before the first or after the last.
The same arguments give the same samples on every run.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, cycle, repeat, starmap
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from callfsm.audio import SAMPLE_RATE_HZ
from callfsm.errors import ConfigError
from service.speech import prompts
from service.speech.audio_file import read_audio
from service.speech.scripts import PROMPT_SCRIPTS, SENTENCES
from service.speech.telephone import telephone
from service.speech.voice import synthesize

DEMO_PAUSE_S = (0.3, 0.9)  # somebody talking without haste
BENCH_PAUSE_S = (0.2, 0.9)  # as in the measurements that the project is compared with
QUIET = 0.01  # amplitude; the recorded prompts peak at 0.4 to 0.85


class Phrase(NamedTuple):
    """What is said between two pauses, and when, in seconds from the start of the call."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True, slots=True)
class SpokenCall:
    """One side of a telephone call; `samples` is float32 mono, shape (n,), -1..1, at 16 kHz."""

    name: str
    samples: NDArray[np.float32]
    phrases: tuple[Phrase, ...]

    @property
    def text(self) -> str:
        """The reference: everything said, in order."""
        return " ".join(phrase.text for phrase in self.phrases)

    @property
    def duration_s(self) -> float:
        return len(self.samples) / SAMPLE_RATE_HZ


class _Utterance(NamedTuple):
    text: str
    samples: NDArray[np.float32]


def demo_calls(
    count: int = 3,
    seconds: float = 25.0,
    *,
    synthetic: bool | None = None,
    noise_rms: float = 0.0,
    seed: int = 1,
    pause_s: tuple[float, float] = DEMO_PAUSE_S,
) -> list[SpokenCall]:
    """`count` calls of whole sentences, each the shortest that lasts at least `seconds`.

    Spoken by the recorded prompts where they are installed, else by the synthetic voice through a
    telephone line; `synthetic` forces one or the other. Pauses hold digital silence, or white
    noise of `noise_rms` (0.0005 is a quiet line). Raises ConfigError when the speech asked for is
    not installed.
    """
    scripts: Sequence[Sequence[str]]
    say: Callable[[str], _Utterance]
    if synthetic or (synthetic is None and not prompts.available()):
        scripts, say = SENTENCES, _say_synthetic
    else:
        scripts, say = PROMPT_SCRIPTS, _prompt_player()
    calls = []
    for index in range(count):
        first = index % len(scripts)
        lines = cycle(chain.from_iterable((*scripts[first:], *scripts[:first])))
        rng = np.random.default_rng((seed, index))
        name = f"demo {index + 1}"
        calls.append(
            _join(name, map(say, lines), seconds, pause_s=pause_s, noise_rms=noise_rms, rng=rng)
        )
    return calls


def prompt_calls(
    total_s: float, call_s: float, seed: int, *, noise_rms: float = 0.0
) -> list[SpokenCall]:
    """Calls of at least `call_s` seconds out of all recorded prompts, `total_s` together.

    No prompt is repeated before all were said (about 24 minutes). Raises ConfigError when the
    prompts are not installed.
    """
    calls: list[SpokenCall] = []
    made = _prompt_calls(repeat(call_s), seed, BENCH_PAUSE_S, noise_rms)
    while sum(call.duration_s for call in calls) < total_s:
        calls.append(next(made))
    return calls


def prompt_calls_of(
    lengths_s: Sequence[float], seed: int, *, pause_s: tuple[float, float] = BENCH_PAUSE_S
) -> list[SpokenCall]:
    """The same, a call of at least so many seconds for each of `lengths_s`."""
    return list(_prompt_calls(lengths_s, seed, pause_s, 0.0))


def calls_out_of(
    name: str,
    said: Iterable[tuple[str, NDArray[np.float32]]],
    count: int,
    seconds: float,
    rng: np.random.Generator,
) -> list[SpokenCall]:
    """`count` calls of at least `seconds` out of what is `said`, a text and its samples each."""
    utterances = starmap(_Utterance, said)
    return [
        _join(f"{name} {n}", utterances, seconds, pause_s=BENCH_PAUSE_S, noise_rms=0.0, rng=rng)
        for n in range(1, count + 1)
    ]


def prompt_seconds() -> float:
    """How long a telephone takes to say every recorded prompt once, with pauses between them."""
    everything = [prompt for prompt in prompts.prompts() if prompts.scorable(prompt)]
    said_s = sum(len(read_audio(prompt.path)) for prompt in everything) / SAMPLE_RATE_HZ
    return said_s + (len(everything) - 1) * sum(BENCH_PAUSE_S) / 2


def continuous(call: SpokenCall) -> SpokenCall:
    """The same phrases without the pauses between them; those inside a phrase stay."""
    utterances = [_Utterance(phrase.text, _trimmed(call, phrase)) for phrase in call.phrases]
    rng = np.random.default_rng(0)
    return _join(
        f"{call.name} without pauses",
        iter(utterances),
        np.inf,
        pause_s=(0.0, 0.0),
        noise_rms=0.0,
        rng=rng,
    )


def write_f32_dir(calls: Sequence[SpokenCall], directory: Path) -> None:
    """Write `1.f32` (float32 little endian, 16 kHz mono) and `1.txt` (reference), `2.f32`, ...

    The format of tools/loadgen.py, which finds the phrases by their pauses if those hold digital
    silence of 0.2 s or more: leave `noise_rms` at 0 for it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for number, call in enumerate(calls, 1):
        call.samples.astype("<f4").tofile(directory / f"{number}.f32")
        (directory / f"{number}.txt").write_text(call.text + "\n", encoding="utf-8")


def _say_synthetic(sentence: str) -> _Utterance:
    return _Utterance(sentence, telephone(synthesize(sentence)))


def _prompt_player() -> Callable[[str], _Utterance]:
    by_name = {prompt.name: prompt for prompt in prompts.prompts()}

    def play(name: str) -> _Utterance:
        if name not in by_name:
            raise ConfigError(f"The installed telephone prompts have no {name!r}; reinstall them.")
        return _Utterance(by_name[name].text, read_audio(by_name[name].path))

    return play


def _shuffled_prompts(rng: np.random.Generator) -> Iterator[_Utterance]:
    everything = [prompt for prompt in prompts.prompts() if prompts.scorable(prompt)]
    while True:
        for index in rng.permutation(len(everything)):
            prompt = everything[index]
            yield _Utterance(prompt.text, read_audio(prompt.path))


def _prompt_calls(
    lengths_s: Iterable[float], seed: int, pause_s: tuple[float, float], noise_rms: float
) -> Iterator[SpokenCall]:
    rng = np.random.default_rng(seed)
    utterances = _shuffled_prompts(rng)
    for n, call_s in enumerate(lengths_s, 1):
        yield _join(
            f"prompts {n}", utterances, call_s, pause_s=pause_s, noise_rms=noise_rms, rng=rng
        )


def _trimmed(call: SpokenCall, phrase: Phrase) -> NDArray[np.float32]:
    """The phrase's samples without the quiet at both ends."""
    start, end = (round(at_s * SAMPLE_RATE_HZ) for at_s in (phrase.start_s, phrase.end_s))
    samples = call.samples[start:end]
    loud = np.flatnonzero(np.abs(samples) > QUIET)
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples


def _join(
    name: str,
    utterances: Iterator[_Utterance],
    seconds: float,
    *,
    pause_s: tuple[float, float],
    noise_rms: float,
    rng: np.random.Generator,
) -> SpokenCall:
    """One call of the next utterances, pauses between them, until it lasts `seconds`."""
    parts: list[NDArray[np.float32]] = []
    phrases: list[Phrase] = []
    length = 0
    for text, samples in utterances:
        if parts:
            pause = rng.normal(0.0, noise_rms, round(rng.uniform(*pause_s) * SAMPLE_RATE_HZ))
            parts.append(pause.astype(np.float32))
            length += len(pause)
        end = length + len(samples)
        phrases.append(Phrase(length / SAMPLE_RATE_HZ, end / SAMPLE_RATE_HZ, text))
        parts.append(samples)
        length = end
        if length >= seconds * SAMPLE_RATE_HZ:
            break
    return SpokenCall(name, np.concatenate(parts), tuple(phrases))
