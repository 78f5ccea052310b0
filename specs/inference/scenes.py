"""A pool of contexts brought into each of its states on the way that a real one takes."""

from functools import cache

import numpy as np

from callfsm.audio import SAMPLE_RATE_HZ
from callfsm.inference import events as ev
from callfsm.inference.engine import AudioWindow, Transcript
from callfsm.inference.pool import Pool
from callfsm.inference.table import inference_machine
from callfsm.testing import Scenario, given
from callfsm.words import Word

TRANSCRIPT = Transcript((Word("hello", 0.0, 0.4),), inference_s=0.1)
NO_MORE = "the inference actor does not take requests any more"


@cache
def _silence(length_s: float) -> AudioWindow:
    """The same for the same length, so that requests can be compared."""
    return AudioWindow(np.zeros(round(length_s * SAMPLE_RATE_HZ), np.float32))


def request(
    call: int,
    *,
    window: int = 1,
    due_s: float = 1.0,
    eager: bool = False,
    length_s: float = 0.0,
) -> ev.Request:
    """A window of `call`, so long, that is wanted by `due_s`."""
    return ev.Request(
        owner=f"call {call}",
        call_id=call,
        window=window,
        audio=_silence(length_s),
        submitted_s=0.0,
        deadline_s=due_s,
        eager=eager,
    )


def submitted(call: int, *, due_s: float = 1.0) -> ev.Submitted:
    return ev.Submitted(request(call, due_s=due_s))


def withdrawn(call: int) -> ev.Withdrawn:
    return ev.Withdrawn(f"call {call}", 1)


def batch_done(context: int, windows: int = 1) -> ev.BatchDone:
    return ev.BatchDone(context, (TRANSCRIPT,) * windows)


def batch_failed(context: int) -> ev.BatchFailed:
    return ev.BatchFailed(context, "aborted")


def load_failed(context: int) -> ev.ContextFailed:
    return ev.ContextFailed(context, "out of memory")


def loading(contexts: int = 1, batch: int = 1) -> Scenario[Pool]:
    return given(inference_machine, Pool(contexts, batch))


def serving(contexts: int = 1, batch: int = 1) -> Scenario[Pool]:
    """Every context is ready and idle."""
    ready = (ev.ContextReady(context) for context in range(contexts))
    return loading(contexts, batch).after(*ready)


def stopping(running: int = 1) -> Scenario[Pool]:
    """The service ends, and the windows of calls 1 to `running` are still being transcribed."""
    work = (submitted(call) for call in range(1, running + 1))
    return serving(running).after(*work, ev.StopRequested())


def broken() -> Scenario[Pool]:
    return loading().after(load_failed(0))


def stopped() -> Scenario[Pool]:
    return serving().after(ev.StopRequested())
