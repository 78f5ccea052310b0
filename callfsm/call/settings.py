"""What can be chosen about a call, validated together, once."""

from dataclasses import dataclass, fields
from math import inf
from typing import Literal

from callfsm.errors import ConfigError

YOUNG_S = 1.4  # of an utterance, its lead-in included: the first words are wanted soon
FIRST_STEP_S = 0.14  # of new speech between looks until such a word is there
SOON_S = 0.3  # so long inference may take where somebody waits for the words
HUSH_S = 0.1  # after so long without speech no word goes on; the detector itself is 60 ms late
LOAD_MEAN_S = 5.0  # older context is let go of for good: not for one window that waits
SOON_CONTEXT_S = 6.0  # but so much is heard again all the same; less is hardly cheaper
SPENDABLE_LOAD = 0.6  # of the contexts' time; above it windows become cheaper


@dataclass(frozen=True, slots=True)
class WindowSettings:
    """When a window is cut. Seconds of audio time, but for `pause_s`, which counts in both times.

    The user's plan sets 5 s windows, 1 s of overlap, 4 s of stride and a 10 s buffer.
    """

    mode: Literal["stream", "chunk"] = "stream"  # "chunk": every chunk whole, as in the field
    window_s: float = 5.0
    overlap_s: float = 1.0
    stride_s: float = 4.0
    buffer_s: float = 10.0  # unheard audio at most: then it is one window, and the sender waits
    pause_s: float = 0.3  # without speech: the speaker paused
    context_s: float = 15.0  # what was said before is heard again, up to this length in all
    context_busy_s: float = 7.0  # the same, when the contexts have no time to spare
    lead_in_s: float = 0.3  # kept before the first sound of speech, so that no onset is lost
    chunk_tail_s: float = 0.06  # a speech chunk that ends with this much silence ends in a pause
    eager_step_s: float = 0.2  # of new speech between looks at a growing window; 0: none
    telephone_band: bool = True  # hold up to 3.4 kHz at 4 KB/s; else up to 8 kHz at 16 KB/s
    lookahead_s: float = 0.3  # a look commits no word with less speech after it, unless it is sure

    def __post_init__(self) -> None:
        if not 1.0 <= self.window_s <= 30.0:
            raise ConfigError(f"window is {self.window_s} s; whisper takes 1 to 30 s")
        if not 0.0 <= self.overlap_s <= self.window_s / 2:
            raise ConfigError(
                f"overlap is {self.overlap_s} s; it must be 0 to half the window "
                f"({self.window_s} s)"
            )
        if not abs(self.window_s - self.overlap_s - self.stride_s) <= 1e-6:
            raise ConfigError(
                f"stride is {self.stride_s} s; it must be window - overlap = "
                f"{self.window_s - self.overlap_s:g} s"
            )
        if not self.window_s <= self.buffer_s <= 29.0:
            raise ConfigError(
                f"buffer is {self.buffer_s} s; it must hold a window ({self.window_s} s), "
                "and fit into one inference (30 s) with what still comes in: 29 s at most"
            )
        if not 0.1 <= self.pause_s < self.window_s:
            raise ConfigError(f"pause is {self.pause_s} s; it must be 0.1 s to less than a window")
        if not 0.0 <= self.context_s <= 30.0:
            raise ConfigError(f"context is {self.context_s} s; it must be 0 to 30 s")
        if not 0.0 <= self.context_busy_s <= 30.0:
            raise ConfigError(f"busy context is {self.context_busy_s} s; it must be 0 to 30 s")
        if not 0.0 <= self.lead_in_s <= 1.0:
            raise ConfigError(f"lead-in is {self.lead_in_s} s; it must be 0 to 1 s")
        if not 0.0 < self.chunk_tail_s <= self.pause_s:
            raise ConfigError(
                f"chunk tail is {self.chunk_tail_s} s; it must be more than 0 s and at most the "
                f"pause ({self.pause_s} s)"
            )
        if not (self.eager_step_s == 0 or 0.2 <= self.eager_step_s < inf):
            raise ConfigError(f"eager step is {self.eager_step_s} s; it must be 0 or >= 0.2 s")
        if not 0.0 <= self.lookahead_s <= self.window_s:
            raise ConfigError(f"lookahead is {self.lookahead_s} s; it must be 0 s to a window")

    def context_at_s(self, load: float) -> float:
        """How much a window hears again when `load` of the contexts' time is in use.

        All of `context_s` up to SPENDABLE_LOAD, and from there down to `context_busy_s`.
        """
        busy = min(1.0, max(0.0, load - SPENDABLE_LOAD) / (1.0 - SPENDABLE_LOAD))
        return self.context_s - busy * max(0.0, self.context_s - self.context_busy_s)

    def soon_context_s(self, context_s: float, cost: float) -> float:
        """How much of `context_s` where somebody waits for the words, when a second of audio takes
        `cost` seconds of inference.

        As much as takes SOON_S, and no less than SOON_CONTEXT_S.
        """
        most_s = SOON_S / cost if cost > 0 else inf
        return min(context_s, max(SOON_CONTEXT_S, most_s))

    def look_step_s(self, load: float, *, is_first: bool = False) -> float:
        """New speech between looks when `load` of the contexts' time is in use; inf for none.

        Looks take what is spare: with half of the time in use the step is twice as long, and with
        all of it only full, pause and end cuts remain. The first words of an utterance are wanted
        soon: for them it is FIRST_STEP_S up to SPENDABLE_LOAD.
        """
        if not self.eager_step_s or load >= 1.0:
            return inf
        if is_first and load <= SPENDABLE_LOAD:
            return min(FIRST_STEP_S, self.eager_step_s)
        return self.eager_step_s / (1.0 - load)


@dataclass(frozen=True, slots=True)
class CallSettings:
    """Windows, and how long a call waits for what."""

    windows: WindowSettings = WindowSettings()
    give_up_s: float = 30.0  # registered, but neither audio nor another REGISTER
    idle_s: float = 300.0  # connected, but no audio
    grace_s: float = 2.0  # after BYE, for audio still in the socket
    held_words_s: float = 1.0  # held words are confirmed by silence after this
    inference_overdue_s: float = 120.0  # then the window is given up, and counted
    accept_overdue_s: float = 10.0  # for the link and the store to take a text

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self) if field.name != "windows"):
            value = getattr(self, name)
            if not 0.0 < value < inf:
                raise ConfigError(f"{name} is {value}; it must be more than 0 s, and finite")
