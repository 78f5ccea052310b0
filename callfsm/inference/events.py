"""What can happen to the inference actor, and what it asks for."""

from collections.abc import Hashable
from dataclasses import dataclass

from callfsm.fsm.table import Effect, Event
from callfsm.inference.engine import Audio, Transcript


@dataclass(frozen=True, slots=True)
class Request:
    """A window somebody wants transcribed. `owner` and `window` name it in the answer."""

    owner: Hashable
    call_id: int
    window: int
    audio: Audio
    submitted_s: float
    deadline_s: float  # the earliest is served first
    eager: bool = False  # a look ahead, which gives way to every window that is not
    thorough: bool = False  # the contexts have time to spare
    alone: bool = False  # it was in a batch that failed: now the others shall not suffer from it


# ---------------------------------------------------------------- events
@dataclass(frozen=True, slots=True)
class Submitted(Event):
    """A call wants a window transcribed, in place of what it has waiting."""

    request: Request


@dataclass(frozen=True, slots=True)
class Withdrawn(Event):
    """Nobody waits any more for this window, nor for one that the owner asked for before it."""

    owner: Hashable
    window: int


@dataclass(frozen=True, slots=True)
class ContextReady(Event):
    """A context is loaded and warm."""

    context: int


@dataclass(frozen=True, slots=True)
class ContextFailed(Event):
    """A context could not be loaded."""

    context: int
    error: str


@dataclass(frozen=True, slots=True)
class BatchDone(Event):
    """A context has transcribed its batch, in order."""

    context: int
    transcripts: tuple[Transcript, ...]


@dataclass(frozen=True, slots=True)
class BatchFailed(Event):
    """A context failed on its batch, and cannot be trusted any more."""

    context: int
    error: str


@dataclass(frozen=True, slots=True)
class ReloadDue(Event):
    """Time-out: a failed context may be loaded again."""

    context: int


@dataclass(frozen=True, slots=True)
class StopRequested(Event):
    """The service ends: finish what runs, refuse the rest."""


@dataclass(frozen=True, slots=True)
class AllIdle(Event):
    """Internal: no context works any more."""


@dataclass(frozen=True, slots=True)
class NoneLeft(Event):
    """Internal: every context failed to load."""


# ---------------------------------------------------------------- effects
@dataclass(frozen=True, slots=True)
class LoadContext(Effect):
    """Load this context; answer ContextReady or ContextFailed."""

    context: int


@dataclass(frozen=True, slots=True)
class RunBatch(Effect):
    """Transcribe these windows on this context; answer BatchDone or BatchFailed.

    Their owners are told that it has begun.
    """

    context: int
    requests: tuple[Request, ...]


@dataclass(frozen=True, slots=True)
class Replaced(Effect):
    """A waiting request was forgotten for a later one of its owner."""

    request: Request


@dataclass(frozen=True, slots=True)
class AbortBatch(Effect):
    """Stop what this context runs: nobody needs it."""

    context: int


@dataclass(frozen=True, slots=True)
class Answer(Effect):
    """A request is answered: by a transcript, or by an error (then `transcript` is None)."""

    request: Request
    transcript: Transcript | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class PoolReady(Effect):
    """The first context is ready: calls can be served."""


@dataclass(frozen=True, slots=True)
class PoolBroken(Effect):
    """No context could be loaded."""

    error: str


@dataclass(frozen=True, slots=True)
class PoolDown(Effect):
    """No context works any more; each is loaded again, later and later, and requests wait."""

    error: str


@dataclass(frozen=True, slots=True)
class PoolUp(Effect):
    """A context works again."""


@dataclass(frozen=True, slots=True)
class CloseContexts(Effect):
    """Free every context."""
