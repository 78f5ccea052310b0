"""What a call's log says about its texts: what each waited for, and where windows were cut."""

from bisect import bisect_left
from typing import Any

from callfsm.audio import SAMPLE_RATE_HZ
from callfsm.call.events import AudioReceived, InferenceDone, TextAccepted
from callfsm.call.segmenter import Cut
from callfsm.record.log import Log, RecordedTurn


def processing_lags_s(log: Log) -> list[float]:
    """For each text, in order: how long it waited for a context and for computing.

    Counted from the moment the call asked for the window that the text is from; or, where that
    had to wait for the call's window before, from the moment the window's last sample was there.
    A text that silence or the end confirmed waited for audio only: 0.
    """
    lags_s: list[float] = []
    heard, heard_at_s = [0], [0.0]  # samples so far, and when
    began_s: dict[int, float] = {}
    window_began_s = 0.0
    for turn in log.turns:
        if isinstance(turn.event, AudioReceived):
            heard.append(heard[-1] + len(turn.event.samples))
            heard_at_s.append(turn.at_s)
        elif isinstance(turn.event, InferenceDone):
            window_began_s = began_s.get(turn.event.window, turn.at_s)
        computed = isinstance(turn.event, InferenceDone | TextAccepted)
        for window in _windows(turn):
            complete = min(bisect_left(heard, window_end(window)), len(heard) - 1)
            began_s[window["number"]] = heard_at_s[complete] if computed else turn.at_s
        for effect in turn.effects:
            if "ForwardText" in effect:
                lags_s.append(turn.at_s - window_began_s if computed else 0.0)
    return lags_s


def cuts_s(log: Log) -> list[float]:
    """Where windows ended, in seconds of the call's audio; looks ahead left out."""
    return [
        window_end(window) / SAMPLE_RATE_HZ
        for turn in log.turns
        for window in _windows(turn)
        if window["cut"]["Cut"] != Cut.EAGER.name
    ]


def window_end(window: dict[str, Any]) -> int:
    """The position after a window's last sample."""
    start: float = window["start_s"]
    samples: int = window["audio"]["samples"]
    return round(start * SAMPLE_RATE_HZ) + samples


def _windows(turn: RecordedTurn) -> list[dict[str, Any]]:
    return [e["Transcribe"]["window"]["Window"] for e in turn.effects if "Transcribe" in e]
