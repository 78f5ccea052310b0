"""CTranslate2's names and shapes of Whisper's weights, turned into whisper.cpp's."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from service.weights.ct2_reader import read_variables
from service.weights.errors import WeightsError
from service.weights.ggml_writer import HyperParameters, write_head, write_tensor
from service.weights.mel import filter_bank
from service.weights.quantise import BlockFormat

Variables = Mapping[str, NDArray[Any]]
Progress = Callable[[int, int], None]  # bytes done, bytes in all

TEXT_TOKENS = 50_257  # GPT-2's vocabulary, which every Whisper tokenizer starts with


def convert(
    directory: Path,
    file: BinaryIO,
    progress: Progress | None = None,
    block_format: BlockFormat | None = None,
) -> None:
    """Write the float16 or float32 CTranslate2 Whisper model in `directory` to `file` as ggml.

    With a `block_format`, matrices are quantised. Raises WeightsError when the directory is
    incomplete or holds no model of this kind.
    """
    model_file = directory / "model.bin"
    variables = read_variables(model_file)
    try:
        sizes = hyper_parameters(variables)
        tensors = list(ggml_tensors(variables, sizes))
        if quantised := [name for name, values in tensors if values.dtype.kind != "f"]:
            raise ValueError(f"{quantised[0]} is not of floating point")
    except (KeyError, ValueError) as error:
        raise WeightsError(f"{model_file} is no plain float Whisper model: {error}") from error
    if block_format:
        sizes = replace(sizes, weight_type=block_format.file_type)
    write_head(file, sizes, filter_bank(sizes.n_mels), read_tokens(directory / "tokenizer.json"))
    total_bytes = sum(values.nbytes for _, values in tensors)
    done_bytes = 0
    for name, values in tensors:
        stored = as_stored(name, values)
        is_matrix = stored.dtype == np.float16 and stored.ndim == 2
        write_tensor(file, name, stored, block_format if is_matrix else None)
        done_bytes += values.nbytes
        if progress:
            progress(done_bytes, total_bytes)


def hyper_parameters(variables: Variables) -> HyperParameters:
    """The model's sizes, read off the shapes of its variables."""
    n_vocab, n_text_state = variables["decoder/embeddings/weight"].shape
    n_audio_ctx, n_audio_state = variables["encoder/position_encodings/encodings"].shape
    return HyperParameters(
        n_vocab=n_vocab,
        n_audio_ctx=n_audio_ctx,
        n_audio_state=n_audio_state,
        n_audio_head=int(variables["encoder/num_heads"]),
        n_audio_layer=_layers(variables, "encoder"),
        n_text_ctx=variables["decoder/position_encodings/encodings"].shape[0],
        n_text_state=n_text_state,
        n_text_head=int(variables["decoder/num_heads"]),
        n_text_layer=_layers(variables, "decoder"),
        n_mels=variables["encoder/conv1/weight"].shape[1],
    )


def read_tokens(tokenizer_file: Path) -> list[bytes]:
    """The text tokens in order of their number, as bytes; whisper.cpp adds the special ones itself.

    GPT-2's tokenizer writes each byte of a token as one printable character; this undoes it.
    """
    try:
        numbers: dict[str, int] = json.loads(tokenizer_file.read_bytes())["model"]["vocab"]
        in_order = sorted(numbers, key=numbers.__getitem__)[:TEXT_TOKENS]
        byte_of = _byte_of_character()
        return [bytes(byte_of[character] for character in token) for token in in_order]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{tokenizer_file} is not a readable tokenizer: {error}") from error


def as_stored(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """float16 for matrices; float32 for vectors, biases of convolutions and positions."""
    is_small = values.ndim == 1 or name.endswith(
        ("positional_embedding", "conv1.bias", "conv2.bias")
    )
    return values.astype("<f4" if is_small else "<f2")


def ggml_tensors(
    variables: Variables, sizes: HyperParameters
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Every tensor whisper.cpp expects, by its name there, in the order of OpenAI's checkpoint."""
    yield "encoder.positional_embedding", variables["encoder/position_encodings/encodings"]
    for conv in ("conv1", "conv2"):
        yield f"encoder.{conv}.weight", variables[f"encoder/{conv}/weight"]
        yield f"encoder.{conv}.bias", variables[f"encoder/{conv}/bias"][:, None]
    for layer in range(sizes.n_audio_layer):
        source, target = f"encoder/layer_{layer}", f"encoder.blocks.{layer}"
        yield from _self_attention(variables, f"{source}/self_attention", target)
        yield from _feed_forward(variables, source, target)
    yield from _norm(variables, "encoder", "encoder.ln_post")

    yield "decoder.positional_embedding", variables["decoder/position_encodings/encodings"]
    yield "decoder.token_embedding.weight", variables["decoder/embeddings/weight"]
    for layer in range(sizes.n_text_layer):
        source, target = f"decoder/layer_{layer}", f"decoder.blocks.{layer}"
        yield from _self_attention(variables, f"{source}/self_attention", target)
        yield from _cross_attention(variables, f"{source}/attention", target)
        yield from _feed_forward(variables, source, target)
    yield from _norm(variables, "decoder", "decoder.ln")


def _self_attention(
    variables: Variables, source: str, target: str
) -> Iterator[tuple[str, NDArray[Any]]]:
    """CTranslate2 stacks query, key and value into one matrix; the key's bias is always zero."""
    query, key, value = np.split(variables[f"{source}/linear_0/weight"], 3)
    query_bias, _, value_bias = np.split(variables[f"{source}/linear_0/bias"], 3)
    yield f"{target}.attn.query.weight", query
    yield f"{target}.attn.query.bias", query_bias
    yield f"{target}.attn.key.weight", key
    yield f"{target}.attn.value.weight", value
    yield f"{target}.attn.value.bias", value_bias
    yield from _linear(variables, f"{source}/linear_1", f"{target}.attn.out")
    yield from _norm(variables, source, f"{target}.attn_ln")


def _cross_attention(
    variables: Variables, source: str, target: str
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Here the query stands alone, and key and value are stacked."""
    key, value = np.split(variables[f"{source}/linear_1/weight"], 2)
    _, value_bias = np.split(variables[f"{source}/linear_1/bias"], 2)
    yield from _linear(variables, f"{source}/linear_0", f"{target}.cross_attn.query")
    yield f"{target}.cross_attn.key.weight", key
    yield f"{target}.cross_attn.value.weight", value
    yield f"{target}.cross_attn.value.bias", value_bias
    yield from _linear(variables, f"{source}/linear_2", f"{target}.cross_attn.out")
    yield from _norm(variables, source, f"{target}.cross_attn_ln")


def _feed_forward(
    variables: Variables, source: str, target: str
) -> Iterator[tuple[str, NDArray[Any]]]:
    yield from _linear(variables, f"{source}/ffn/linear_0", f"{target}.mlp.0")
    yield from _linear(variables, f"{source}/ffn/linear_1", f"{target}.mlp.2")
    yield from _norm(variables, f"{source}/ffn", f"{target}.mlp_ln")


def _linear(variables: Variables, source: str, target: str) -> Iterator[tuple[str, NDArray[Any]]]:
    yield f"{target}.weight", variables[f"{source}/weight"]
    yield f"{target}.bias", variables[f"{source}/bias"]


def _norm(variables: Variables, source: str, target: str) -> Iterator[tuple[str, NDArray[Any]]]:
    yield f"{target}.weight", variables[f"{source}/layer_norm/gamma"]
    yield f"{target}.bias", variables[f"{source}/layer_norm/beta"]


def _layers(variables: Variables, part: str) -> int:
    return sum(
        name.startswith(f"{part}/layer_") and name.endswith("/ffn/linear_0/weight")
        for name in variables
    )


def _byte_of_character() -> dict[str, int]:
    """GPT-2's `bytes_to_unicode`, inverted: printable Latin-1 stands for itself, the other 68 bytes
    are moved to U+0100 and up in their order."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    moved = {chr(0x100 + index): byte for index, byte in enumerate(others)}
    return moved | {chr(byte): byte for byte in printable}
