"""Where the audio of calls is kept: blocks of one size, apart from all other memory.

Inference takes tens of megabytes at a time from the C heap and gives them back. Where a few
kilobytes of a call have come to lie in between, the next batch finds no room in one piece, and the
process grows by another. So blocks of audio lie in memory mapped for nothing else, side by side. It
is not given back when calls end: the next ones take it.
"""

import mmap

BLOCKS_AT_ONCE = 256  # mapped together: half a megabyte, or one


class Blocks:
    """Gives out blocks of at most `size` bytes each. One thread takes them, any may drop them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._free: list[int] = []  # the numbers of blocks that nobody holds
        self._maps: list[mmap.mmap] = []

    @property
    def taken(self) -> int:
        """Blocks that somebody holds."""
        return len(self._maps) * BLOCKS_AT_ONCE - len(self._free)

    def empty(self) -> "Block":
        """A block to be filled."""
        if not self._free:
            self._map_more()
        return Block(self, self._free.pop())

    def filled(self, data: bytes) -> "Block":
        """A block with at most `size` bytes."""
        block = self.empty()
        left = block.fill(data)
        assert not left
        return block

    def place(self, number: int) -> tuple[mmap.mmap, int]:
        """Where block `number` lies: in which memory, and from which byte on."""
        at, within = divmod(number, BLOCKS_AT_ONCE)
        return self._maps[at], within * self.size

    def _map_more(self) -> None:
        first = len(self._maps) * BLOCKS_AT_ONCE
        private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS  # of this process, not of those it forks
        self._maps.append(mmap.mmap(-1, BLOCKS_AT_ONCE * self.size, private))
        self._free += range(first, first + BLOCKS_AT_ONCE)


class Block:
    """Bytes that can only become more. Its memory is free when nobody holds it any more."""

    __slots__ = ("_length", "_number", "_owner")

    def __init__(self, owner: Blocks, number: int) -> None:
        self._owner = owner
        self._number = number
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __bytes__(self) -> bytes:
        memory, at = self._owner.place(self._number)
        return memory[at : at + self._length]

    def __del__(self) -> None:
        self._owner._free.append(self._number)

    def fill(self, data: bytes) -> bytes:
        """Add as much of `data` as there is room for; what is left of it."""
        taken = data[: self._owner.size - self._length]
        memory, at = self._owner.place(self._number)
        at += self._length
        memory[at : at + len(taken)] = taken
        self._length += len(taken)
        return data[len(taken) :]
