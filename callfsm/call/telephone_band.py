"""Hold telephone audio at 8 kHz: the last seconds at 8 KB each, and what is older at 4 KB.

A call hears up to 15 s of context again with every window, and waits with 10 s more when the
contexts are busy; the user allows 100 KB for all of it. What comes from a telephone has nothing
above 3.4 kHz, so half of the samples say nothing. The other half is held as G.711 mu-law while it
is news, and as context it is packed into IMA ADPCM: the difference to the sample before, in steps
that grow and shrink with the signal. The standard library does both in C. docs/decisions.md has
what it costs in words.

The filter is the same linear-phase half-band for both ways. It only looks back, so that the bytes
do not depend on how the audio was chunked; all audio comes out 1.4 ms late.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from callfsm.call.blocks import Block, Blocks
from callfsm.call.clip import Clip

with warnings.catch_warnings():  # from Python 3.13 on it is `audioop-lts` that is imported here
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

State: TypeAlias = tuple[int, int] | None  # of the coder: the sample before, and the step's index

BLOCK_SAMPLES = 4_000  # narrow: half a second, what is packed and forgotten at once
FRESH_BLOCKS = 6  # before the end of a clip: not packed yet
LATE_BLOCKS = 2  # a clip is asked for a second after its end at most, unless its call must wait
FRESH, PACKED = Blocks(BLOCK_SAMPLES), Blocks(BLOCK_SAMPLES // 2)
REACH = 12  # narrow samples on each side that the filter hears
DELAY_SAMPLES = 2 * REACH - 2  # at 16 kHz


def _half_band() -> NDArray[np.float32]:
    """The taps at odd distances from the middle; the others are 0, the middle 0.5.

    A windowed sinc (Kaiser, beta 5.65: 60 dB): flat to 3.4 kHz, nothing left from 4.6 kHz on.
    """
    distance = np.arange(-2 * REACH + 1, 2 * REACH, 2)
    window = np.i0(5.65 * np.sqrt(1 - (distance / (2 * REACH)) ** 2)) / np.i0(5.65)
    taps = np.sinc(distance / 2) / 2 * window
    scaled: NDArray[np.float32] = (taps / (2 * taps.sum())).astype(np.float32)
    return scaled


_TAPS = _half_band()
_HISTORY = 4 * REACH - 2  # samples at 16 kHz that the first new one needs before it


def halve(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    """16 kHz to 8 kHz; the first `_HISTORY` samples are those before, and only heard."""
    wide = samples.astype(np.float32)
    middle = wide[2 * REACH :: 2][: (len(wide) - _HISTORY) // 2]
    narrow = 0.5 * middle + np.convolve(wide[1::2], _TAPS, "valid")
    pcm: NDArray[np.int16] = np.rint(narrow).clip(-32768, 32767).astype(np.int16)
    return pcm


def double(narrow: NDArray[np.int16]) -> NDArray[np.float32]:
    """8 kHz to float32 -1..1 at 16 kHz; outside there is silence.

    The taps are symmetric: two samples share one. Twice as fast as `np.convolve`.
    """
    length = len(narrow)
    padded = np.pad(narrow.astype(np.float32) / 32768, (REACH - 1, REACH))
    between, pair = np.zeros(length, np.float32), np.empty(length, np.float32)
    for left in range(REACH):
        right = len(_TAPS) - 1 - left
        np.add(padded[left : left + length], padded[right : right + length], out=pair)
        pair *= 2 * _TAPS[left]
        between += pair
    samples = np.empty(2 * length, np.float32)
    samples[0::2] = padded[REACH - 1 : REACH - 1 + length]
    samples[1::2] = between
    return samples.clip(-1.0, 1.0, out=samples)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class TelephoneBandClip(Clip):
    """Blocks, and which narrow samples of them are meant. The blocks are shared."""

    state: State  # of the coder before the first packed block
    packed: tuple[Block, ...] = field(repr=False)  # ADPCM
    fresh: tuple[Block, ...] = field(repr=False)  # mu-law; it follows
    first: int
    length: int

    def __len__(self) -> int:
        return 2 * self.length

    @property
    def samples(self) -> NDArray[np.float32]:
        older, _ = audioop.adpcm2lin(_joined(self.packed), 2, self.state)
        newer = audioop.ulaw2lin(_joined(self.fresh), 2)
        narrow = np.frombuffer(older + newer, np.int16)
        return double(narrow[self.first : self.first + self.length])


def _joined(blocks: Iterable[Block]) -> bytes:
    return b"".join(map(bytes, blocks))


class TelephoneBandStore:
    """An AudioStore. Takes frames: a multiple of two samples at a time."""

    __slots__ = ("_base", "_fresh", "_growing", "_history", "_lent", "_packed", "_state")

    def __init__(self) -> None:
        self._base = 0  # number of the first block held
        self._packed: list[tuple[State, Block]] = []  # and the coder's state before each
        self._fresh: list[Block] = []
        self._growing = FRESH.empty()  # the block that is not complete
        self._state: State = None  # of the coder now
        self._history = bytes(2 * _HISTORY)
        # The last clip, and the number of its first fresh block.
        self._lent: tuple[ref[TelephoneBandClip], int] | None = None

    @property
    def held_bytes(self) -> int:
        blocks = [block for _, block in self._packed] + self._fresh
        return sum(map(len, blocks)) + len(self._growing)

    def append(self, pcm: NDArray[np.int16]) -> None:
        heard = self._history + pcm.tobytes()
        self._history = heard[-2 * _HISTORY :]
        left = audioop.lin2ulaw(halve(np.frombuffer(heard, np.int16)).tobytes(), 2)
        while left:
            left = self._growing.fill(left)
            if len(self._growing) == BLOCK_SAMPLES:
                self._fresh.append(self._growing)
                self._growing = FRESH.empty()
        self._pack(min(self._blocks - FRESH_BLOCKS - LATE_BLOCKS, self._lent_from))

    def clip(self, start: int, end: int) -> TelephoneBandClip:
        first, last = start // 2, end // 2
        self._pack(last // BLOCK_SAMPLES - FRESH_BLOCKS)
        from_block = first // BLOCK_SAMPLES - self._base
        to_block = -(-last // BLOCK_SAMPLES) - self._base
        packed, border = self._packed[from_block:to_block], len(self._packed)
        fresh = self._fresh[max(0, from_block - border) : max(0, to_block - border)]
        if to_block > border + len(self._fresh):
            fresh.append(self._growing)  # what comes later is behind the clip's end
        clip = TelephoneBandClip(
            state=packed[0][0] if packed else None,
            packed=tuple(block for _, block in packed),
            fresh=tuple(fresh),
            first=first % BLOCK_SAMPLES,
            length=last - first,
        )
        self._lent = ref(clip), self._base + max(from_block, border)
        return clip

    def forget(self, before: int) -> None:
        block = before // 2 // BLOCK_SAMPLES
        self._pack(block)
        drop = min(block - self._base, len(self._packed))
        if drop > 0:
            del self._packed[:drop]
            self._base += drop

    @property
    def _blocks(self) -> int:
        """Complete blocks since the start of the call."""
        return self._base + len(self._packed) + len(self._fresh)

    @property
    def _lent_from(self) -> int:
        """From which block on somebody else holds them as they are: packed, they would be held
        twice, and as late as windows wait under load that is for seconds."""
        if self._lent is None or self._lent[0]() is None:
            return self._blocks
        return self._lent[1]

    def _pack(self, before: int) -> None:
        """Pack the blocks up to this one."""
        for _ in range(min(before, self._blocks) - self._base - len(self._packed)):
            pcm = audioop.ulaw2lin(bytes(self._fresh.pop(0)), 2)
            state = self._state
            packed, self._state = audioop.lin2adpcm(pcm, 2, state)
            self._packed.append((state, PACKED.filled(packed)))
