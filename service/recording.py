"""Record calls to a directory, one append-only file for each, without ever keeping the hub waiting.

Lines are made when a turn ends and wait in memory; twice a second one greenlet hands them to a
native thread, which opens each call's file, appends and closes it: a call costs no open file. When
the disk cannot keep up, or refuses, a call's log ends there: one with a hole would not replay.
"""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import gevent
from gevent.event import Event as Signal

from callfsm.call.settings import CallSettings
from callfsm.call.speech import SpeechDetector
from callfsm.errors import ConfigError
from callfsm.record.recorder import CallRecorder
from service.metrics import Metrics
from service.native_thread import NativeThread

log = logging.getLogger(__name__)

WRITE_EVERY_S = 0.5
WAITING_BYTES = 32_000_000  # at most; minutes of a hundred calls, without audio


@dataclass(eq=False, slots=True)
class _Log:
    call_id: int
    path: Path
    has_ended: bool = False  # too early: nothing more is written to it


class Recording:
    """The logs of every call of a server. Raises ConfigError when `directory` cannot be made."""

    def __init__(
        self,
        directory: Path,
        *,
        audio: bool,
        now_s: Callable[[], float],
        metrics: Metrics,
        waiting_bytes: int = WAITING_BYTES,
    ) -> None:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cannot record to {directory}: {error.strerror}") from error
        self._directory = directory
        self._audio = audio
        self._now_s = now_s
        self._metrics = metrics
        self._room_bytes = waiting_bytes
        self._waiting: dict[_Log, list[str]] = {}
        self._thread = NativeThread()
        self._work_came = Signal()
        self._closing = Signal()
        self._writer = gevent.spawn(self._write_until_closed)

    def call(self, call_id: int, settings: CallSettings, detector: SpeechDetector) -> CallRecorder:
        """What records this call from now on."""
        now = datetime.now(UTC)
        path = self._directory / f"{now:%Y%m%dT%H%M%S.%f}Z-call-{call_id}.jsonl"
        to = _Log(call_id, path)
        return CallRecorder(
            call_id,
            settings,
            detector,
            write=partial(self._write, to),
            failed=partial(self._fail, to),
            now_s=self._now_s,
            started=now.isoformat(),
            audio=self._audio,
        )

    def close(self) -> None:
        """Write what waits, and end the thread."""
        self._closing.set()
        self._work_came.set()
        self._writer.join()
        self._thread.stop()

    def _write(self, to: _Log, line: str) -> None:
        if self._closing.is_set() or to.has_ended:
            self._metrics.recording_lost.inc()
        elif len(line) > self._room_bytes:
            self._end(to, "the disk does not keep up")
            self._metrics.recording_lost.inc()
        else:
            self._room_bytes -= len(line)
            self._waiting.setdefault(to, []).append(line)
            self._work_came.set()

    def _fail(self, to: _Log, error: Exception) -> None:
        self._end(to, f"{type(error).__name__}: {error}")
        self._metrics.recording_lost.inc()

    def _end(self, to: _Log, why: str) -> None:
        """Take no more lines for this log."""
        to.has_ended = True
        log.error("call %d: its log %s ends before the call does: %s", to.call_id, to.path, why)

    def _drop(self, to: _Log, lines: Sequence[str], why: str) -> None:
        """These lines could not be written, and what came after them must not be."""
        self._end(to, why)
        waiting = self._waiting.pop(to, [])
        self._room_bytes += sum(map(len, waiting))
        self._metrics.recording_lost.inc(len(lines) + len(waiting))

    def _write_until_closed(self) -> None:
        while self._waiting or not self._closing.is_set():
            self._work_came.wait()
            self._work_came.clear()
            waiting, self._waiting = self._waiting, {}
            texts = {to: "".join(lines) for to, lines in waiting.items()}
            failures = self._thread.run(partial(_append, texts))
            self._room_bytes += sum(map(len, texts.values()))
            for to, error in failures.items():
                self._drop(to, waiting[to], str(error))
            self._closing.wait(WRITE_EVERY_S)


def _append(texts: Mapping[_Log, str]) -> dict[_Log, OSError]:
    """Append each text to its file, readable by the owner alone; which could not be, and why."""
    failures = {}
    for to, text in texts.items():
        try:
            with open(to.path, "a", encoding="ascii", opener=_private) as file:
                file.write(text)
        except OSError as error:
            failures[to] = error
    return failures


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
