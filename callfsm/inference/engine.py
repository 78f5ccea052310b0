"""What the inference actor needs of a speech recogniser, and nothing more.

An engine is one small class: load, transcribe a batch of windows into words with times, abort,
close. One engine instance belongs to one worker, which calls it from one native thread and never
twice at once; so an engine needs no lock. A batch may hold windows of different calls, and the text
of a window must not depend on its batch mates nor on anything the engine heard before.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from callfsm.audio import SAMPLE_RATE_HZ
from callfsm.words import Word


class Audio(Protocol):
    """Audio that waits for a worker, in whatever form takes little memory."""

    @property
    def samples(self) -> NDArray[np.float32]:
        """float32 mono, shape (n,), -1..1, at 16 kHz."""

    @property
    def duration_s(self) -> float: ...


@dataclass(frozen=True, slots=True)
class AudioWindow:
    """One window to transcribe: `samples` is float32 mono, shape (n,), -1..1, at 16 kHz.

    Of a look ahead, a text in doubt is not read again: another look follows at once. `thorough`
    says that there is time to weigh several texts (beam search), where the engine can.
    """

    samples: NDArray[np.float32]
    is_look: bool = False
    thorough: bool = False

    @property
    def duration_s(self) -> float:
        return len(self.samples) / SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True)
class Transcript:
    """The words of one window, times counted in seconds from its first sample.

    `guards` names each guard that acted on this window (for counters), in order: for example
    ("repeated_ngram", "retried") or ("no_speech",).
    """

    words: tuple[Word, ...]
    inference_s: float
    guards: tuple[str, ...] = field(default=())


class Engine(Protocol):
    """A speech recogniser for one worker."""

    max_batch: int  # windows that one `transcribe` takes; 1 where batching does not pay

    def load(self) -> None:
        """Load the weights and warm up. Raises EngineError with one sentence."""

    def transcribe(self, windows: Sequence[AudioWindow]) -> list[Transcript]:
        """One transcript per window, in order. Releases the GIL while it computes.

        Raises EngineError; after that the worker throws this engine away and loads a new one.
        """

    def abort(self) -> None:
        """Ask a running `transcribe` to stop soon (from another thread); it then raises
        EngineError. Nothing happens when none is running."""

    def close(self) -> None:
        """Free the native memory."""
