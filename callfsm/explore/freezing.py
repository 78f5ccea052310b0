"""A system as bytes: the same bytes for equal systems, and a copy of it back.

Pickle without references does it, ten times as fast as `copy` and a comparison would. What never
changes is not written, and audio, which is loud or silent here, as one byte a frame.
"""

import io
import pickle
from collections.abc import Callable
from dataclasses import fields
from itertools import count
from typing import Any

import numpy as np

from callfsm.call.settings import CallSettings, WindowSettings
from callfsm.call.speech import FRAME_SAMPLES
from callfsm.call.windows import Window
from callfsm.explore.choices import Bounds, settings_of
from callfsm.explore.surroundings import LOUD
from callfsm.explore.system import System
from callfsm.fsm.table import Effect, Event
from callfsm.inference.engine import AudioWindow, Transcript
from callfsm.inference.events import Request
from callfsm.words import Word


def frozen(system: System) -> bytes:
    """Equal systems give equal bytes."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, protocol=5)
    pickler.fast = True
    pickler.dispatch_table = _REDUCERS
    pickler.dump(system)
    return buffer.getvalue()


def thawed(data: bytes) -> System:
    """A system of its own, equal to the one that was frozen."""
    system: System = pickle.loads(data)
    return system


_VALUES = (Event, Effect, AudioWindow, Bounds, Request, Transcript, Window, Word)


class _Reducers(dict[type, Callable[[Any], Any]]):
    """How to write each type; a value is its class and its fields."""

    def __missing__(self, kind: Any) -> Callable[[Any], Any]:
        if not issubclass(kind, _VALUES):
            raise KeyError(kind)
        names = [field.name for field in fields(kind)]

        def reduce(value: Any) -> Any:
            return (kind, tuple([getattr(value, name) for name in names]))

        self[kind] = reduce
        return reduce


def _audio(frames: bytes, kind: str) -> Any:
    flags = np.frombuffer(frames, bool).astype(kind)
    return np.repeat(flags * np.asarray(LOUD, kind), FRAME_SAMPLES)


def _window_settings(looks: bool) -> WindowSettings:
    return settings_of(looks).windows


_REDUCERS = _Reducers(
    {
        np.ndarray: lambda a: (_audio, ((a[::FRAME_SAMPLES] > 0).tobytes(), a.dtype.str)),
        count: lambda counter: (count, (int(repr(counter)[len("count(") : -1]),)),
        CallSettings: lambda settings: (settings_of, (settings.windows.eager_step_s > 0,)),
        WindowSettings: lambda settings: (_window_settings, (settings.eager_step_s > 0,)),
    }
)
