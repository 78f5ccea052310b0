"""Windows through the real inference actor, without calls: how long they wait, how many it does."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import gevent
import numpy as np
from gevent.event import AsyncResult

from callfsm.errors import CallfsmError
from callfsm.inference.engine import AudioWindow, Transcript
from callfsm.runtimes.gevent import GeventRuntime
from service.engine_choice import EngineChoice
from service.inference import InferenceService
from service.metrics import Metrics
from service.speech.noise import Samples

STRIDE_S = 4.0  # a call that is spoken to without a pause asks for a window of 5 s so often


@dataclass(frozen=True, slots=True)
class Turnaround:
    """One window: from the request to the answer, and the inference in it."""

    total_s: float
    inference_s: float

    @property
    def waited_s(self) -> float:
        return max(0.0, self.total_s - self.inference_s)

    @property
    def wait_share(self) -> float:
        return self.waited_s / self.total_s if self.total_s else 0.0


@dataclass(frozen=True, slots=True)
class PoolRun:
    """Windows of several callers, and the seconds from the first request to the last answer."""

    turnarounds: Sequence[Turnaround]
    seconds: float

    @property
    def windows_per_s(self) -> float:
        return len(self.turnarounds) / self.seconds

    @property
    def wait_share(self) -> float:
        """Of the time that all windows together took, the share in which they waited."""
        total_s = sum(one.total_s for one in self.turnarounds)
        return sum(one.waited_s for one in self.turnarounds) / total_s if total_s else 0.0


class PoolUnderTest:
    """An inference service of so many contexts, as a context manager."""

    def __init__(self, engine: EngineChoice, contexts: int) -> None:
        self._runtime = GeventRuntime()
        self._service = InferenceService(
            engine.make, contexts, self._runtime, Metrics(), engine.max_batch
        )
        self._windows = 0

    def __enter__(self) -> "PoolUnderTest":
        self._runtime.start()
        self._service.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._service.stop()
        self._service.stopped.wait()
        self._runtime.stop()

    def in_real_time(self, callers: int, seconds: float, windows: Sequence[Samples]) -> PoolRun:
        """Each caller asks for a window every 4 s, at moments of its own, for `seconds`."""
        offsets_s = np.random.default_rng(callers).uniform(0.0, STRIDE_S, callers)
        requests = [
            (float(offset_s + at_s), caller)
            for caller, offset_s in enumerate(offsets_s)
            for at_s in np.arange(0.0, seconds - STRIDE_S + 0.01, STRIDE_S)
        ]
        began_s = time.monotonic()
        asked = [
            gevent.spawn_later(at_s, self._ask, caller, windows[n % len(windows)])
            for n, (at_s, caller) in enumerate(sorted(requests))
        ]
        gevent.joinall(asked, raise_error=True)
        return PoolRun([one.get() for one in asked], time.monotonic() - began_s)

    def saturated(self, callers: int, seconds: float, windows: Sequence[Samples]) -> PoolRun:
        """Each caller asks for its next window as soon as it has an answer, for `seconds`."""
        began_s = time.monotonic()

        def go_on(caller: int) -> list[Turnaround]:
            done: list[Turnaround] = []
            while time.monotonic() - began_s < seconds:
                done.append(self._ask(caller, windows[(caller + len(done)) % len(windows)]))
            return done

        lanes = [gevent.spawn(go_on, caller) for caller in range(callers)]
        gevent.joinall(lanes, raise_error=True)
        turnarounds = [one for lane in lanes for one in lane.get()]
        return PoolRun(turnarounds, time.monotonic() - began_s)

    def _ask(self, caller: int, samples: Samples) -> Turnaround:
        answer: AsyncResult[tuple[Transcript | None, str]] = AsyncResult()
        self._windows += 1
        began_s = time.monotonic()
        self._service.submit(
            caller,
            caller,
            self._windows,
            AudioWindow(samples),
            eager=False,
            reply=lambda transcript, error: answer.set((transcript, error)),
        )
        outcome = answer.get()
        assert outcome is not None
        transcript, error = outcome
        if transcript is None:
            raise CallfsmError(error)
        return Turnaround(time.monotonic() - began_s, transcript.inference_s)
