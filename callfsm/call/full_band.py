"""Hold audio as it came, at one byte a sample: 16 KB a second, everything up to 8 kHz."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from callfsm.call.clip import Clip
from callfsm.call.companding import compress, expand


@dataclass(frozen=True, slots=True)
class FullBandClip(Clip):
    """Mu-law bytes, one for each sample."""

    companded: bytes = field(repr=False)

    def __len__(self) -> int:
        return len(self.companded)

    @property
    def samples(self) -> NDArray[np.float32]:
        return expand(np.frombuffer(self.companded, np.uint8))


class FullBandStore:
    """An AudioStore. Takes any number of samples."""

    __slots__ = ("_base", "_bytes")

    def __init__(self) -> None:
        self._bytes = bytearray()  # from position `_base` on
        self._base = 0

    @property
    def held_bytes(self) -> int:
        return len(self._bytes)

    def append(self, pcm: NDArray[np.int16]) -> None:
        self._bytes += compress(pcm).tobytes()

    def clip(self, start: int, end: int) -> FullBandClip:
        return FullBandClip(bytes(self._bytes[start - self._base : end - self._base]))

    def forget(self, before: int) -> None:
        drop = max(0, min(before - self._base, len(self._bytes)))
        del self._bytes[:drop]
        self._base += drop
