"""The lines of a log: a header, then one line for every turn.

A line is written whole or not at all, but for the last one of a process that was killed: that one
is left out. A line that is broken in the middle is an error.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from callfsm import __version__
from callfsm.call.events import EndReason
from callfsm.call.settings import CallSettings
from callfsm.call.table import CALL
from callfsm.fsm.table import Event
from callfsm.record.encoding import Decoder, Encoder, LogError, length_of

FORMAT, VERSION = "callfsm call log", 1


@dataclass(frozen=True, slots=True)
class Header:
    """What a call was, before anything happened to it. `started` is ISO 8601, UTC."""

    call: int
    started: str
    settings: CallSettings
    audio: bool  # whether the log has the samples

    def line(self) -> str:
        start = json.dumps({"format": FORMAT, "version": VERSION, "callfsm": __version__})
        about = json.dumps({"call": self.call, "started": self.started, "audio": self.audio})
        settings = Encoder(length_of)(self.settings)
        return f'{start[:-1]}, {about[1:-1]}, "settings": {settings}}}\n'


@dataclass(frozen=True, slots=True)
class RecordedTurn:
    """One turn, as it was. `event` is None for the entry into the initial state."""

    at_s: float  # since the call's first turn
    event: Event | None
    speech: str  # what the detector said in this turn: "1" or "0" for each frame
    effects: tuple[Any, ...]  # as JSON values
    state: str
    crash: str  # what the machine raised, "" for nothing


@dataclass(frozen=True, slots=True)
class Log:
    """A whole log. `cut_off` says that its last line was not complete."""

    header: Header
    turns: tuple[RecordedTurn, ...]
    cut_off: bool

    @property
    def is_whole(self) -> bool:
        """Whether the log goes on to the end of the call."""
        return bool(self.turns) and (self.turns[-1].state == "closed" or bool(self.turns[-1].crash))


def read_log(lines: Iterable[str]) -> Log:
    """Read a log. Raises LogError naming the line."""
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise LogError("the log is empty")
    decode = Decoder([*CALL.events, CallSettings, EndReason])
    turns, cut_off = [], False
    (_, first), *rest = numbered
    header = _header(first, decode)
    for number, line in rest:
        if number == numbered[-1][0] and not line.endswith("\n"):
            cut_off = True
            break
        turns.append(_turn(number, line, decode))
    return Log(header, tuple(turns), cut_off)


def _header(line: str, decode: Decoder) -> Header:
    try:
        values = json.loads(line)
        is_ours = values["format"] == FORMAT
    except (ValueError, KeyError, TypeError):
        is_ours = False
    if not is_ours:
        raise LogError(f"line 1 is not the header of a {FORMAT}")
    if values.get("version") != VERSION:
        raise LogError(f"the log has format version {values.get('version')}; this reads {VERSION}")
    try:
        settings = decode(values["settings"])
        return Header(values["call"], values["started"], settings, values["audio"])
    except (LogError, KeyError) as error:
        raise LogError(f"line 1: {error}") from error


def _turn(number: int, line: str, decode: Decoder) -> RecordedTurn:
    try:
        values = json.loads(line)
        return RecordedTurn(
            at_s=values["t"],
            event=decode(values["event"]),
            speech=values.get("speech", ""),
            effects=tuple(values.get("effects", ())),
            state=values["state"],
            crash=values.get("crash", ""),
        )
    except (ValueError, KeyError, TypeError, LogError) as error:
        raise LogError(f"line {number}: {error}") from error
