"""Where the audio of calls is kept (callfsm/call/blocks.py)."""

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from callfsm.call.blocks import BLOCKS_AT_ONCE, Block, Blocks


@given(st.lists(st.binary(max_size=40)), st.integers(1, 64))
def test_a_block_takes_what_it_has_room_for(pieces: list[bytes], size: int) -> None:
    """In order, whatever the pieces; the rest of a piece is handed back."""
    block, left = Blocks(size).empty(), b""
    for piece in pieces:
        left += block.fill(piece)
    assert bytes(block) + left == b"".join(pieces)
    assert len(block) == min(size, len(b"".join(pieces)))


def test_memory_is_used_again_when_nobody_holds_it() -> None:
    """As long as somebody does it stays as it is; then the next block lies there."""
    blocks = Blocks(4)
    kept, dropped = blocks.filled(b"kept"), blocks.filled(b"gone")
    assert blocks.taken == 2
    del dropped
    assert blocks.taken == 1
    others = [blocks.filled(b"more") for _ in range(3 * BLOCKS_AT_ONCE)]
    assert blocks.taken == len(others) + 1
    assert bytes(kept) == b"kept"
    assert {bytes(other) for other in others} == {b"more"}


def test_other_threads_may_drop_blocks() -> None:
    """A native thread lets go of the windows it has heard, while the hub fills blocks."""
    blocks = Blocks(8)

    def read(block: Block) -> bytes:
        return bytes(block)

    with ThreadPoolExecutor(8) as threads:
        texts = list(threads.map(read, (blocks.filled(b"%08d" % n) for n in range(5_000))))
    assert texts == [b"%08d" % n for n in range(5_000)]
    assert blocks.taken == 0
