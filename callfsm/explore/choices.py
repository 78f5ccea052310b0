"""What can happen around the actors, as sentences; and how much of it may happen in one run."""

from dataclasses import dataclass
from enum import Enum
from functools import cache

from callfsm.call.settings import CallSettings, WindowSettings


class Choice(Enum):
    """One thing that the world may do next, time-outs aside."""

    REGISTER = "the call registers"
    ANSWER = "the audio port answers"
    REFUSE = "the audio port refuses"
    SPEAK = "a word is spoken, and speech goes on"
    SPEAK_AND_PAUSE = "a word is spoken, and a pause follows"
    SPEAK_AND_HUSH = "a word is spoken, and it is quiet for less than a pause"
    HANG_UP = "the caller hangs up"
    END_STREAM = "the audio stream ends"
    SHUT_DOWN = "the service begins to stop"
    TRANSCRIBE = "the model answers"
    FAIL = "the model fails"
    HANG = "the model hangs"
    LOAD = "the context is loaded"
    FAIL_TO_LOAD = "the context cannot be loaded"
    ACCEPT = "the text is accepted"
    FORGET = "nobody says that the text is accepted"
    CONNECT = "the language model answers"
    REFUSE_LINK = "the language model refuses"
    TAKE = "the language model takes a text"
    DROP = "the language model drops the connection"
    CLOSE_LINK = "the link is told to close"
    STOP_INFERENCE = "the inference actor is told to stop"


@dataclass(frozen=True, slots=True)
class TimeOut:
    """A timer of an actor runs out. Which of two does so first is a choice, too."""

    actor: str
    timer: str

    @property
    def value(self) -> str:
        """The sentence, as of a `Choice`."""
        return f"time passes: {self.timer} of the {self.actor}"


@dataclass(frozen=True, slots=True)
class Move:
    """Something happens; the next thing comes after everybody has `seen` it, or before."""

    choice: Choice | TimeOut
    seen: bool = True

    def __str__(self) -> str:
        return self.choice.value if self.seen else f"{self.choice.value}, and at once"


FAULTS = {
    Choice.REFUSE,
    Choice.FAIL,
    Choice.HANG,
    Choice.FAIL_TO_LOAD,
    Choice.FORGET,
    Choice.REFUSE_LINK,
    Choice.DROP,
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may happen in one run: pieces of audio, half a second each; faults of every kind
    together; REGISTERs; and races, where one thing happens before anybody saw the last.

    `prompt`: the language model answers at once, or fails at once. `looks`: windows are looked at
    while they grow.
    """

    pieces: int = 2
    faults: int = 2
    registers: int = 1
    races: int = 1
    prompt: bool = True
    looks: bool = False


ANYTHING = Bounds(pieces=99, faults=99, registers=99, races=99, prompt=False)
NOTHING_MORE = Bounds(pieces=0, faults=0, registers=0, races=0, prompt=False)

PIECE_FRAMES = 25  # half a second: a word, and then so many frames of silence, or speech goes on
SILENT_FRAMES = {Choice.SPEAK: 0, Choice.SPEAK_AND_PAUSE: 6, Choice.SPEAK_AND_HUSH: 5}
WORD_S = (0.06, 0.38)  # where the word of a piece begins and ends in it


@cache
def settings_of(looks: bool) -> CallSettings:
    """The shortest windows that there can be: two pieces of audio fill one."""
    return CallSettings(
        WindowSettings(
            window_s=1.0,
            overlap_s=0.2,
            stride_s=0.8,
            buffer_s=1.0,
            pause_s=0.12,
            context_s=0.0,
            lead_in_s=0.0,
            eager_step_s=0.2 if looks else 0.0,
            telephone_band=False,  # loud is then one byte, wherever it is
        )
    )
