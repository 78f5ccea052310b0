"""Writes a Whisper model as the one file whisper.cpp loads.

The file (whisper.cpp, `models/convert-pt-to-ggml.py`, MIT) is, little-endian: the magic; eleven
hyper-parameters i32; the mel filter bank (rows i32, columns i32, float32); the vocabulary (count
i32, then per token its length u32 and bytes); and until the end one tensor after another: number
of dimensions i32, length of the name i32, type i32 (0 float32, 1 float16, others: `quantise`), the
dimensions i32 from the fastest changing to the slowest, the name, the values.
"""

import struct
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from service.weights.quantise import BlockFormat

MAGIC = 0x67676D6C  # "ggml"
FLOAT32, FLOAT16 = 0, 1


@dataclass(frozen=True, slots=True)
class HyperParameters:
    """A model's sizes, in the file's order."""

    n_vocab: int
    n_audio_ctx: int
    n_audio_state: int
    n_audio_head: int
    n_audio_layer: int
    n_text_ctx: int
    n_text_state: int
    n_text_head: int
    n_text_layer: int
    n_mels: int
    weight_type: int = FLOAT16


def write_head(
    file: BinaryIO,
    sizes: HyperParameters,
    mel_filters: NDArray[np.float32],
    tokens: Sequence[bytes],
) -> None:
    """Write everything before the tensors. `mel_filters` has shape (n_mels, 201)."""
    file.write(struct.pack("<I11i", MAGIC, *astuple(sizes)))
    file.write(struct.pack("<2i", *mel_filters.shape))
    file.write(mel_filters.astype("<f4").tobytes())
    file.write(struct.pack("<i", len(tokens)))
    for token in tokens:
        file.write(struct.pack("<I", len(token)) + token)


def write_tensor(
    file: BinaryIO, name: str, values: NDArray[Any], block_format: BlockFormat | None = None
) -> None:
    """Append one tensor; `values` is float32 or float16, of any shape.

    With a `block_format` it is quantised; its rows then hold whole blocks.
    """
    raw_name = name.encode()
    if block_format:
        type_number, data = block_format.tensor_type, block_format.pack(values)
    else:
        type_number, data = FLOAT16 if values.dtype == np.float16 else FLOAT32, values
    file.write(
        struct.pack(
            f"<3i{values.ndim}i",
            values.ndim,
            len(raw_name),
            type_number,
            *reversed(values.shape),
        )
    )
    file.write(raw_name + data.tobytes())
