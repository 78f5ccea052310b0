"""Matrices in ggml's quantised blocks, which are smaller and, some of them, faster than float16.

A block holds 32 values of a row that share a scale (`ggml-quants.c`, MIT). A test compares the
bytes with those of the library.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK_VALUES = 32
FILE_VERSION = 2_000  # of these blocks; added to the number of the file's type

Q8_0 = np.dtype([("scale", "<f2"), ("steps", "i1", BLOCK_VALUES)])
Q5_1 = np.dtype([("scale", "<f2"), ("least", "<f2"), ("high_bits", "u1", 4), ("low", "u1", 16)])


@dataclass(frozen=True, slots=True)
class BlockFormat:
    """How the matrices of a file are packed; `pack` takes values of shape (rows, n * 32)."""

    tensor_type: int  # `ggml_type`
    file_type: int  # `ggml_ftype` and FILE_VERSION
    pack: Callable[[NDArray[Any]], NDArray[Any]]


def q8_0(values: NDArray[Any]) -> NDArray[Any]:
    """A byte a value: -127..127 times the scale."""
    blocks = _blocks(values)
    scale = np.abs(blocks).max(axis=1) / np.float32(127)
    packed = np.empty(len(blocks), Q8_0)
    packed["scale"] = scale
    steps = blocks * _inverse(scale)[:, None]
    packed["steps"] = (steps + np.copysign(np.float32(0.5), steps)).astype("i1")
    return packed


def q5_1(values: NDArray[Any]) -> NDArray[Any]:
    """Five bits a value: 0..31 times the scale, above the block's least value.

    Of the low four bits, one byte holds those of values i and i + 16; bit i of the high bits is
    value i's.
    """
    blocks = _blocks(values)
    least = blocks.min(axis=1)
    scale = (blocks.max(axis=1) - least) / np.float32(31)
    steps = ((blocks - least[:, None]) * _inverse(scale)[:, None] + np.float32(0.5)).astype("u1")
    packed = np.empty(len(blocks), Q5_1)
    packed["scale"], packed["least"] = scale, least
    packed["high_bits"] = np.packbits(steps >> 4, axis=1, bitorder="little")
    packed["low"] = (steps[:, :16] & 15) | (steps[:, 16:] & 15) << 4
    return packed


# By the end of the names under which whisper.cpp publishes such files, as in "tiny.en-q8_0".
FORMATS: Mapping[str, BlockFormat] = {
    "q5_1": BlockFormat(7, FILE_VERSION + 9, q5_1),
    "q8_0": BlockFormat(8, FILE_VERSION + 7, q8_0),
}


def _blocks(values: NDArray[Any]) -> NDArray[np.float32]:
    return values.astype(np.float32).reshape(-1, BLOCK_VALUES)


def _inverse(scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 / scale, and 0 for 0: a block of equal values has no steps."""
    return np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale != 0)
