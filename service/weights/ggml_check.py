"""Tells a whole ggml Whisper file from anything else, because whisper.cpp does not.

It loads a file whose last tensor is cut short without a word. Walking the headers (layout: see
`ggml_writer`) costs 20 ms and reads no weights.
"""

import mmap
import struct
from math import prod
from pathlib import Path

from service.weights.errors import WeightsError
from service.weights.ggml_writer import MAGIC

# Values per block and bytes per block of each tensor type (ggml, `ggml_type` and `ggml-common.h`).
BLOCKS = {
    0: (1, 4),  # float32
    1: (1, 2),  # float16
    2: (32, 18),  # q4_0
    3: (32, 20),  # q4_1
    6: (32, 22),  # q5_0
    7: (32, 24),  # q5_1
    8: (32, 34),  # q8_0
    10: (256, 84),  # q2_K
    11: (256, 110),  # q3_K
    12: (256, 144),  # q4_K
    13: (256, 176),  # q5_K
    14: (256, 210),  # q6_K
}


def check_ggml(path: Path) -> None:
    """Raise WeightsError unless `path` is a ggml Whisper file whose last tensor ends the file."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _walk(data)
    except (OSError, ValueError, struct.error, KeyError) as error:
        raise WeightsError(f"{path} is not a whole ggml Whisper model: {error}") from error


def _walk(data: mmap.mmap) -> None:
    (magic,) = struct.unpack_from("<I", data)
    if magic != MAGIC:
        raise ValueError(f"it begins with {magic:#010x}, expected {MAGIC:#010x}")
    position = 4 + 11 * 4
    rows, columns = struct.unpack_from("<2I", data, position)
    position += 8 + 4 * rows * columns
    (n_tokens,) = struct.unpack_from("<I", data, position)
    position += 4
    for _ in range(n_tokens):
        (token_bytes,) = struct.unpack_from("<I", data, position)
        position += 4 + token_bytes
    while position < len(data):
        position = _skip_tensor(data, position)
    if position > len(data):
        raise ValueError(f"it ends at byte {len(data)}, expected {position}")


def _skip_tensor(data: mmap.mmap, position: int) -> int:
    """The position after the tensor that begins at `position`."""
    header: tuple[int, int, int] = struct.unpack_from("<3I", data, position)
    n_dimensions, name_bytes, type_number = header
    if type_number not in BLOCKS or not 0 < n_dimensions <= 4:
        raise ValueError(f"no tensor begins at byte {position}")
    shape: tuple[int, ...] = struct.unpack_from(f"<{n_dimensions}I", data, position + 12)
    block_values, block_bytes = BLOCKS[type_number]
    header_bytes = 12 + 4 * n_dimensions + name_bytes
    return position + header_bytes + prod(shape) // block_values * block_bytes
