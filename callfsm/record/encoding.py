"""Events and effects as JSON, and events back again, whatever their fields are.

A dataclass is `{"Name": {field: value}}`, an enum `{"Name": "MEMBER"}`, a tuple a list. Samples are
their number, `{"samples": 320}`, unless audio is wanted. Floats keep every digit. Written by hand
for speed: a call makes fifty events a second, and `json` takes three times as long for one.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from math import isfinite
from typing import Any, TypeAlias, get_args, get_type_hints
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from callfsm.call.clip import Clip
from callfsm.call.companding import to_pcm16
from callfsm.call.full_band import FullBandClip
from callfsm.call.telephone_band import TelephoneBandClip
from callfsm.errors import CallfsmError
from callfsm.fsm.table import CancelTimer, SetTimer

TIMERS_KEPT = 256  # encoded: a call sets the same few again and again

Audio: TypeAlias = NDArray[np.float32] | Clip


class LogError(CallfsmError):
    """A log that cannot be read; the text names the line."""


def length_of(audio: Audio) -> str:
    """How many samples there are, and nothing of what was said."""
    return f'{{"samples":{len(audio)}}}'


def digest_of(audio: Audio) -> str:
    """The number of samples and the CRC-32 of their 16-bit values."""
    return f'{{"samples":{len(audio)},"crc32":{crc32(_pcm16(audio))}}}'


def pcm_of(audio: Audio) -> str:
    """The samples themselves, as base64 of 16-bit little-endian PCM."""
    return f'{{"pcm16":"{b64encode(_pcm16(audio)).decode()}"}}'


def _pcm16(audio: Audio) -> bytes:
    samples = audio.samples if isinstance(audio, Clip) else audio
    return to_pcm16(samples).astype("<i2", copy=False).tobytes()


class Encoder:
    """Values to JSON text. `audio` says what becomes of samples, held compact or not."""

    def __init__(self, audio: Callable[[Audio], str]) -> None:
        self._timers: dict[object, str] = {}
        self._by_type: dict[type, Callable[[Any], str]] = {
            type(None): lambda _: "null",
            bool: lambda value: "true" if value else "false",
            int: str,
            float: lambda value: repr(value) if isfinite(value) else json.dumps(value),
            str: json.dumps,
            tuple: self._sequence,
            np.ndarray: audio,
            FullBandClip: audio,
            TelephoneBandClip: audio,
            SetTimer: self._timer,
            CancelTimer: self._timer,
        }

    def __call__(self, value: object) -> str:
        """Raises TypeError for a value that no event or effect should hold."""
        encode = self._by_type.get(type(value))
        if encode is None:
            encode = self._by_type[type(value)] = self._encoder_of(type(value))
        return encode(value)

    def _encoder_of(self, kind: type) -> Callable[[Any], str]:
        if issubclass(kind, Enum):
            return lambda member: f'{{"{kind.__name__}":"{member.name}"}}'
        if is_dataclass(kind):
            return self._record
        raise TypeError(f"{kind.__name__} has no place in a log")

    def _sequence(self, values: Iterable[object]) -> str:
        return f"[{','.join([self(value) for value in values])}]"

    def _record(self, value: object) -> str:
        kind: type = type(value)
        parts = [f'"{name}":{self(getattr(value, name))}' for name in _field_names(kind)]
        return f'{{"{kind.__name__}":{{{",".join(parts)}}}}}'

    def _timer(self, timer: object) -> str:
        text = self._timers.get(timer)
        if text is None:
            if len(self._timers) >= TIMERS_KEPT:
                self._timers.clear()
            text = self._timers[timer] = self._record(timer)
        return text


class Decoder:
    """JSON values back to the types given, and to those that their fields speak of."""

    def __init__(self, kinds: Iterable[type]) -> None:
        self._kinds: dict[str, type] = {}
        for kind in kinds:
            self._learn(kind)

    def __call__(self, value: Any) -> Any:
        """Raises LogError for a name or a field that is not known here."""
        if isinstance(value, list):
            return tuple(self(each) for each in value)
        if not isinstance(value, dict):
            return value
        [(name, content), *_] = value.items()
        if name == "samples":
            return np.zeros(content, np.float32)
        if name == "pcm16":
            return np.frombuffer(b64decode(content), "<i2").astype(np.float32) / 32768
        kind: Any = self._kinds.get(name)
        if kind is None:
            raise LogError(f"'{name}' is not known here")
        if issubclass(kind, Enum):
            return kind[content]
        try:
            return kind(**{field: self(each) for field, each in content.items()})
        except TypeError as error:
            raise LogError(f"{name} has other fields here: {error}") from error

    def _learn(self, kind: type) -> None:
        if kind.__name__ in self._kinds:
            return
        self._kinds[kind.__name__] = kind
        if is_dataclass(kind):
            for hint in get_type_hints(kind).values():
                for each in _types_in(hint):
                    self._learn(each)


def _types_in(hint: Any) -> Iterator[type]:
    """The dataclasses and enums that a type hint speaks of."""
    if isinstance(hint, type) and (is_dataclass(hint) or issubclass(hint, Enum)):
        yield hint
    for argument in get_args(hint):
        yield from _types_in(argument)


@cache
def _field_names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))
