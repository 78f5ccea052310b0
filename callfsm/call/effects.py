"""Everything a call asks of the world."""

from dataclasses import dataclass

from callfsm.call.events import EndReason
from callfsm.call.windows import Window
from callfsm.fsm.table import Effect
from callfsm.words import Word, as_text


@dataclass(frozen=True, slots=True)
class ConnectAudio(Effect):
    """Connect to the call's audio port; answer AudioConnected or ConnectFailed."""


@dataclass(frozen=True, slots=True)
class OpenLink(Effect):
    """Have a connection to the language model ready for this call."""


@dataclass(frozen=True, slots=True)
class PauseReading(Effect):
    """Take no more audio from the socket: the buffer is full."""


@dataclass(frozen=True, slots=True)
class ResumeReading(Effect):
    """Take audio again."""


@dataclass(frozen=True, slots=True)
class Transcribe(Effect):
    """Transcribe a window, in place of the one before if that still waits.

    Say InferenceStarted with its number, and answer InferenceDone or InferenceFailed. `thorough`:
    the contexts have time to spare, so several texts can be weighed (beam search).
    """

    window: Window
    thorough: bool = False


@dataclass(frozen=True, slots=True)
class AbandonInference(Effect):
    """Nobody waits for this window any more."""

    window: int


@dataclass(frozen=True, slots=True)
class ForwardText(Effect):
    """Give these words to the link, the store and the audio peer; answer TextAccepted."""

    number: int
    words: tuple[Word, ...]

    @property
    def text(self) -> str:
        return as_text(self.words)


@dataclass(frozen=True, slots=True)
class EndCall(Effect):
    """Close the audio connection and forget the call."""

    reason: EndReason


@dataclass(frozen=True, slots=True)
class Note(Effect):
    """Something an operator wants counted and logged with the call's id."""

    what: str
    detail: str = ""
