"""Everything that can happen to a call."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from callfsm.fsm.table import Event
from callfsm.words import Word


class EndReason(Enum):
    """Why a call's audio is over."""

    END_OF_STREAM = "end of stream"
    CONNECTION_LOST = "connection lost"
    PROTOCOL_ERROR = "protocol error"
    SHUTDOWN = "shutdown"
    BYE = "bye"
    IDLE = "idle"
    NEVER_CONNECTED = "never connected"


@dataclass(frozen=True, slots=True)
class Registered(Event):
    """The call has a listening audio port: a REGISTER, or an active row in the database."""


@dataclass(frozen=True, slots=True)
class AudioConnected(Event):
    """The audio port answered."""


@dataclass(frozen=True, slots=True)
class ConnectFailed(Event):
    """The audio port did not answer."""


@dataclass(frozen=True, slots=True)
class AudioReceived(Event):
    """Samples arrived: float32, shape (n,), 16 kHz, finite, -1..1.

    `chunk_s` is 0 until the sender's chunk is complete, and then its length. `load` is the share
    of the inference contexts' time that is in use, 0..1; at 1 there is none for looks ahead.
    """

    samples: NDArray[np.float32]
    chunk_s: float = 0.0
    load: float = 1.0


@dataclass(frozen=True, slots=True)
class Bye(Event):
    """The caller hung up; audio may still be in the socket."""


@dataclass(frozen=True, slots=True)
class StreamEnded(Event):
    """No audio will come any more."""

    reason: EndReason


@dataclass(frozen=True, slots=True)
class InferenceStarted(Event):
    """A context has begun with a window: it cannot be replaced by a longer one any more."""

    window: int


@dataclass(frozen=True, slots=True)
class InferenceDone(Event):
    """The words of a window, in the window's own time, and how long inference took for it: of a
    batch its share."""

    window: int
    words: tuple[Word, ...]
    inference_s: float = 0.0


@dataclass(frozen=True, slots=True)
class InferenceFailed(Event):
    """A window could not be transcribed."""

    window: int
    error: str


@dataclass(frozen=True, slots=True)
class TextAccepted(Event):
    """The link and the store have taken a text."""

    number: int


@dataclass(frozen=True, slots=True)
class GiveUp(Event):
    """Time-out: registered, but no audio and no further REGISTER."""


@dataclass(frozen=True, slots=True)
class PauseElapsed(Event):
    """Time-out: speech, then no audio at all for the length of a pause."""


@dataclass(frozen=True, slots=True)
class HeldWordsElapsed(Event):
    """Time-out: words were held back, and nothing came that could change them."""


@dataclass(frozen=True, slots=True)
class GraceElapsed(Event):
    """Time-out: BYE, and then no audio any more."""


@dataclass(frozen=True, slots=True)
class IdleElapsed(Event):
    """Time-out: connected, but no audio for minutes."""


@dataclass(frozen=True, slots=True)
class InferenceOverdue(Event):
    """Time-out: the inference actor never answered."""


@dataclass(frozen=True, slots=True)
class AcceptOverdue(Event):
    """Time-out: nobody said that the text was taken."""


@dataclass(frozen=True, slots=True)
class CutDue(Event):
    """Internal: a window is ready to be taken, or a longer one than that which still waits."""


@dataclass(frozen=True, slots=True)
class WindowTaken(Event):
    """Internal: there is a window to transcribe."""


@dataclass(frozen=True, slots=True)
class NewText(Event):
    """Internal: words were committed."""

    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class NothingNew(Event):
    """Internal: the window added no word."""


@dataclass(frozen=True, slots=True)
class Drained(Event):
    """Internal: the audio is over, and all of it has been transcribed and forwarded."""
