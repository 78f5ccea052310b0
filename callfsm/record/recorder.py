"""Write down every turn of one call, between its actor and its machine; neither knows of it."""

import json
from collections.abc import Callable

from callfsm.call.call import Call
from callfsm.call.settings import CallSettings
from callfsm.call.speech import SpeechDetector
from callfsm.call.table import call_machine
from callfsm.fsm.machine import Machine, Turn
from callfsm.fsm.table import Event, M
from callfsm.record.encoding import Encoder, digest_of, length_of, pcm_of
from callfsm.record.log import Header
from callfsm.record.speech import HeardSpeech


class Witnessed(Machine[M]):
    """The same machine, but `see` is told of each turn, or of the exception that it ended in."""

    def __init__(
        self, machine: Machine[M], see: Callable[[M, Event | None, Turn | Exception], None]
    ) -> None:
        vars(self).update(vars(machine))  # checked and built already; and shared by all its models
        self._see = see

    def start(self, model: M) -> Turn:
        try:
            turn = super().start(model)
        except Exception as error:
            self._see(model, None, error)
            raise
        self._see(model, None, turn)
        return turn

    def handle(self, model: M, event: Event) -> Turn:
        try:
            turn = super().handle(model, event)
        except Exception as error:
            self._see(model, event, error)
            raise
        self._see(model, event, turn)
        return turn


class CallRecorder:
    """Gives a call the `machine` and the `detector` to use, and writes its log line by line.

    `write` is given whole lines and must not block. `now_s` is a monotonic clock, `started` the
    wall clock's ISO 8601. With `audio` the samples are recorded too. What goes wrong here is told
    to `failed`, once; the log ends there, and the call goes on.
    """

    def __init__(
        self,
        call_id: int,
        settings: CallSettings,
        detector: SpeechDetector,
        *,
        write: Callable[[str], None],
        failed: Callable[[Exception], None],
        now_s: Callable[[], float],
        started: str,
        audio: bool = False,
        machine: Machine[Call] = call_machine,
    ) -> None:
        self.detector = HeardSpeech(detector)
        self.machine = Witnessed(machine, self._see)
        self._write = write
        self._failed: Callable[[Exception], None] | None = failed
        self._now_s = now_s
        self._started_s = now_s()
        self._event = Encoder(pcm_of if audio else length_of)
        self._effect = Encoder(digest_of if audio else length_of)
        write(Header(call_id, started, settings, audio).line())

    def _see(self, call: Call, event: Event | None, turn: Turn | Exception) -> None:
        speech = self.detector.take()  # even after the log's end: what is not taken piles up
        if self._failed is None:
            return
        try:
            self._write(self._line(call, event, turn, speech))
        except Exception as error:
            failed, self._failed = self._failed, None
            failed(error)

    def _line(self, call: Call, event: Event | None, turn: Turn | Exception, speech: str) -> str:
        at_s = self._now_s() - self._started_s
        line = f'{{"t":{at_s:.4f},"event":{self._event(event)}'
        if speech:
            line += f',"speech":"{speech}"'
        if isinstance(turn, Exception):
            line += f',"crash":{json.dumps(crash_text(turn))}'
        elif turn.effects:
            line += f',"effects":[{",".join(map(self._effect, turn.effects))}]'
        return f'{line},"state":"{call.state}"}}\n'


def crash_text(error: Exception) -> str:
    """An exception as a log names it."""
    return f"{type(error).__name__}: {error}"
