"""A stretch of a call's audio as it is held: compact, immutable, and made samples when needed."""

from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from callfsm.audio import SAMPLE_RATE_HZ


class Clip(ABC):
    """Audio that waits for a context; it becomes float32 only when one takes it."""

    __slots__ = ()

    @abstractmethod
    def __len__(self) -> int:
        """Samples at 16 kHz."""

    @property
    @abstractmethod
    def samples(self) -> NDArray[np.float32]:
        """float32 mono, shape (n,), -1..1, at 16 kHz; made anew at each call."""

    @property
    def duration_s(self) -> float:
        return len(self) / SAMPLE_RATE_HZ


class AudioStore(Protocol):
    """Holds the audio of one call. Positions count 16 kHz samples from the start of the call."""

    @property
    def held_bytes(self) -> int:
        """Memory of the audio held."""

    def append(self, pcm: NDArray[np.int16]) -> None:
        """Add 16-bit samples, shape (n,)."""

    def clip(self, start: int, end: int) -> Clip:
        """The samples from `start` to before `end`; all of them must be held."""

    def forget(self, before: int) -> None:
        """Nothing before this position will be asked for any more."""
