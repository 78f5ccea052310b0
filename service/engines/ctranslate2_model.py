"""Whisper in CTranslate2, as the engine needs it; the only file that touches ctranslate2."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import ctranslate2
import numpy as np
from numpy.typing import NDArray

from callfsm.errors import EngineError

NATIVE_EXCEPTIONS = (RuntimeError, ValueError, MemoryError)  # pybind11's, from C++
MAX_BATCH = 4  # more gain nothing (docs/engine-parameters.md), and hold every window longer

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True, slots=True)
class Search:
    """How a text is looked for: in `max_tokens` at most, repeating no run of `no_repeat_ngram`
    tokens (0: any may be), with `beam_size` texts weighed."""

    max_tokens: int
    no_repeat_ngram: int = 0
    beam_size: int = 1


@dataclass(frozen=True, slots=True)
class Generated:
    """The tokens of one window after the prompt, timestamps included, and the 0..1 probability
    that nobody speaks in it."""

    tokens: tuple[int, ...]
    no_speech: float


@dataclass(frozen=True, slots=True)
class Alignment:
    """Of one text: the step of the audio at which each token begins, and its probability.

    One begin more than there are tokens: the last is where the text has ended.
    """

    begins: tuple[int, ...]
    probabilities: tuple[float, ...]


class Model(Protocol):
    """What the engine needs of loaded weights; tests put a fake one here."""

    n_mels: int
    multilingual: bool

    def encode(self, features: NDArray[np.float32]) -> Any:
        """What the encoder makes of `features`, float32, shape (batch, n_mels, frames)."""

    def generate(self, encoded: Any, prompt: Sequence[int], search: Search) -> list[Generated]:
        """What each window says after `prompt`."""

    def align(
        self, encoded: Any, prompt: Sequence[int], texts: list[list[int]], frames: list[int]
    ) -> list[Alignment]:
        """Where the tokens of each window's text are in the first `frames` of its features."""

    def unload(self) -> None: ...


def finds_gpu() -> bool:
    """Whether there is a GPU that CTranslate2 knows."""
    return bool(ctranslate2.get_cuda_device_count())


class NativeModel:
    """Whisper in CTranslate2: one worker of `threads` threads."""

    def __init__(self, directory: Path, device: Device, device_index: int, threads: int) -> None:
        """Load `directory`. Raises EngineError with what the library said when it cannot."""
        try:
            self._whisper = ctranslate2.models.Whisper(
                str(directory),
                device=device,
                device_index=device_index if device == "cuda" else 0,
                compute_type="float16" if device == "cuda" else "int8",
                inter_threads=1,
                intra_threads=threads,
            )
        except NATIVE_EXCEPTIONS as error:
            raise EngineError(f"CTranslate2 cannot load {directory}: {error}") from error
        self._at_once = 1 if device == "cpu" else MAX_BATCH
        self.n_mels: int = self._whisper.n_mels
        self.multilingual: bool = self._whisper.is_multilingual

    def encode(self, features: NDArray[np.float32]) -> Any:
        parts = [features[rows] for rows in self._rows(len(features))]
        encoded = [self._whisper.encode(_view(part), to_cpu=True) for part in parts]
        return np.concatenate([np.array(part) for part in encoded])

    def generate(self, encoded: Any, prompt: Sequence[int], search: Search) -> list[Generated]:
        results = self._whisper.generate(
            _view(encoded),
            [list(prompt)] * len(encoded),
            beam_size=search.beam_size,
            max_length=2 * search.max_tokens,  # the library gives the text half of it
            no_repeat_ngram_size=search.no_repeat_ngram,
            return_no_speech_prob=True,
        )
        return [Generated(tuple(r.sequences_ids[0]), r.no_speech_prob) for r in results]

    def align(
        self, encoded: Any, prompt: Sequence[int], texts: list[list[int]], frames: list[int]
    ) -> list[Alignment]:
        found = [
            one
            for rows in self._rows(len(texts))
            for one in self._whisper.align(
                _view(encoded[rows]), list(prompt), texts[rows], frames[rows]
            )
        ]
        return [
            Alignment(_begins(one.alignments, len(text)), tuple(one.text_token_probs))
            for one, text in zip(found, texts, strict=True)
        ]

    def unload(self) -> None:
        self._whisper.unload_model()

    def _rows(self, count: int) -> Iterator[slice]:
        """The windows to encode or align at once: on a CPU, two are slower than one after the
        other, since the attention of both does not fit the cache."""
        return (slice(i, i + self._at_once) for i in range(0, count, self._at_once))


def _view(values: NDArray[Any]) -> Any:
    return ctranslate2.StorageView.from_array(np.ascontiguousarray(values))


def _begins(path: Sequence[tuple[int, int]], tokens: int) -> tuple[int, ...]:
    """The first step of each token on the alignment `path` of pairs (token, step)."""
    begins: dict[int, int] = {}
    for token, step in path:
        begins.setdefault(token, step)
    last = path[-1][1] + 1 if path else 0
    return tuple(begins.get(token, last) for token in range(tokens + 1))
