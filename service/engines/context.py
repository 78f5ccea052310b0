"""What the whisper.cpp engine asks of a loaded model, so that tests can put a fake one there."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.engines.decoding import Decoding
from service.engines.tokens import Token


@dataclass(frozen=True, slots=True)
class ContextOptions:
    """What is fixed once a context is made; `threads` compute one pass.

    `alignment_heads` are whisper.cpp's name of those, None for no DTW word times. `language` is a
    code that Whisper knows ("en").
    """

    gpu: bool
    gpu_device: int
    flash_attention: bool
    alignment_heads: str | None
    threads: int
    language: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """The text tokens of one pass; `capped` says that the token cap ended it.

    `numbers` are those of all tokens, timestamps (from `first_timestamp` on) included; empty where
    the library has read on itself.
    """

    tokens: tuple[Token, ...]
    capped: bool
    numbers: tuple[int, ...]
    first_timestamp: int


class Context(Protocol):
    """What the engine needs of a loaded model; tests put a fake one here."""

    on_gpu: bool

    def decode(
        self,
        samples: NDArray[np.float32],
        decoding: Decoding,
        aborted: Callable[[], bool],
    ) -> Decoded:
        """Raises EngineError when the library reports failure, or after `aborted` said so."""

    def free(self) -> None: ...
