"""Tells from the head of a ggml file which of its attention heads follow the audio.

Word times by dynamic time warping (DTW) need them; whisper.cpp holds a list for each published
model, under the names returned here.
"""

import struct
from pathlib import Path

from callfsm.errors import EngineError
from service.weights.ggml_writer import HyperParameters

HEAD = struct.Struct("<12i")  # magic, then the eleven hyper-parameters
ENGLISH_ONLY_VOCABULARY = 51_864  # every multilingual model has more
SIZES = {4: "TINY", 6: "BASE", 12: "SMALL", 24: "MEDIUM"}  # by layers of the encoder
LARGE_LAYERS, TURBO_TEXT_LAYERS, V3_MELS = 32, 4, 128


def read_hyper_parameters(path: Path) -> HyperParameters:
    """The sizes of the model in `path`. Raises EngineError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return HyperParameters(*HEAD.unpack(file.read(HEAD.size))[1:])
    except (OSError, struct.error) as error:
        raise EngineError(f"{path} is not a ggml Whisper model: {error}") from error


def alignment_heads(model: HyperParameters, file_name: str) -> str | None:
    """whisper.cpp's name of the model's alignment heads, such as "TINY_EN"; None if unpublished.

    The first two large models have the same sizes: "v1" in `file_name` decides.
    """
    if model.n_audio_layer == LARGE_LAYERS:
        if model.n_text_layer == TURBO_TEXT_LAYERS:
            return "LARGE_V3_TURBO"
        if model.n_text_layer != LARGE_LAYERS:
            return None
        if model.n_mels == V3_MELS:
            return "LARGE_V3"
        return "LARGE_V1" if "v1" in file_name else "LARGE_V2"
    size = SIZES.get(model.n_audio_layer)
    if size is None or model.n_text_layer != model.n_audio_layer:
        return None
    return f"{size}_EN" if model.n_vocab == ENGLISH_ONLY_VOCABULARY else size
