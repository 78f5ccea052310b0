"""Play spoken calls through a server, collect what arrives everywhere, and judge it."""

import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import gevent

from callfsm.errors import CallfsmError
from callfsm.inference.engine import Engine
from service.peers.caller import Caller, CallerSettings, CallFailedError, CallReport
from service.peers.chunking import Style
from service.peers.ports import free_base_port
from service.peers.sink import Sink
from service.speech.corpus import SpokenCall
from service.speech.latency import (
    Arrival,
    HeardWord,
    Utterance,
    heard_words,
    timed_words,
    utterances,
)
from service.speech.wer import WordErrors, word_errors
from service.trial.server_process import ServerProcess

VIEW_EVERY_S = 0.25
CLOSE_TIMEOUT_S = 120.0
STAGGER_S = 0.4  # callers do not dial in the same instant

Snapshot = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class CallResult:
    """One call, judged: the text at LLaMA, the text in the database, and when words arrived."""

    call_id: int
    reference: str
    text: str
    stored_text: str
    state: str
    errors: WordErrors
    send_lag_s: float  # the longest that a piece of audio left late
    arrivals: list[Arrival]
    words: list[HeardWord]
    utterances: list[Utterance]
    begun_s: float = 0.0  # when its first sample was spoken, on `time.monotonic`
    duration_s: float = 0.0
    refused_s: float = 0.0  # from its first REGISTER until it was let in

    @property
    def word_latencies_s(self) -> list[float]:
        """Of each word that was understood."""
        return [word.latency_s for word in self.words if word.right]

    @property
    def first_text_s(self) -> float | None:
        """From the onset of speech in the call to its first text."""
        return self.arrivals[0].at_s - self.utterances[0].onset_s if self.arrivals else None

    @property
    def final_text_s(self) -> float | None:
        """From the end of speech in the call to its last text."""
        return self.arrivals[-1].at_s - self.utterances[-1].end_s if self.arrivals else None

    @property
    def problems(self) -> list[str]:
        """One sentence for each thing that must not happen."""
        found = []
        if not self.text:
            found.append(f"call {self.call_id}: no text arrived")
        if self.text != self.stored_text:
            found.append(f"call {self.call_id}: LLaMA and the database have different texts")
        if self.state != "closed":
            found.append(f"call {self.call_id}: ended in state '{self.state}'")
        return found


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a trial: every call that was let in, in order, and the server's own counts at
    its end."""

    results: list[CallResult]
    metrics: dict[str, float]  # as `ServerProcess.metrics` names them
    cpu_s: float  # of the server, once all contexts were loaded, until the last call was closed
    callers_cpu_s: float  # of this process, in the same time
    refused: tuple[int, ...] = ()  # calls that were never let in

    @property
    def errors(self) -> WordErrors:
        """The errors of all calls together."""
        return sum((result.errors for result in self.results), WordErrors())

    @property
    def word_latencies_s(self) -> list[float]:
        return [s for result in self.results for s in result.word_latencies_s]

    @property
    def windows_lost(self) -> float:
        """Windows that were given up, however often they were tried."""
        return self.metrics.get("callfsm_notes_total[window_lost]", 0.0)

    @property
    def problems(self) -> list[str]:
        """Those of the calls, and one sentence for each kind of thing that the server lost."""
        found = [problem for result in self.results for problem in result.problems]
        if crashed := self.metrics.get("callfsm_calls_crashed_total", 0.0):
            found.append(f"{crashed:g} calls were ended by a fault of the server")
        if lost := self.windows_lost:
            found.append(f"{lost:g} windows were lost")
        return found


@dataclass(frozen=True, slots=True)
class Trial:
    """How a trial is run: `at_once` calls side by side."""

    directory: Path  # for the database and the server's log
    at_once: int
    style: Style = "frames"
    realtime: bool = True  # else as fast as the server takes the audio
    serve_options: tuple[str, ...] = ()
    stagger_s: float = STAGGER_S
    begins_s: tuple[float, ...] = ()  # when each of `at_once` dials; without, `stagger_s` apart
    may_refuse: bool = False  # a call that is never let in is told, and no failure
    register_s: float = 30.0  # how long a call tries to be let in
    close_timeout_s: float = CLOSE_TIMEOUT_S  # for the calls, once the last caller is done
    timeout_s: float = inf  # for everything, from the first caller to the last closed call
    view_every_s: float = VIEW_EVERY_S

    def play(
        self,
        calls: Sequence[SpokenCall],
        timing_engine: Engine,
        show: Callable[[Snapshot], None] = lambda snapshot: None,
        begun: Callable[[str], None] = lambda page: None,
    ) -> Played:
        """Play `calls`; call ids count from 1. `timing_engine` finds out when words were spoken.

        `begun` is given the address of the server's page, before the first call, and `show` what
        its /calls says, a few times a second. Raises CallfsmError
        when a call could not be placed, was not closed, or the server ended badly.
        """
        database = self.directory / "whisper_talk.db"
        log = self.directory / "server.log"
        base_port = free_base_port(len(calls))
        sink = Sink(port=0)
        sink.start()
        with ServerProcess(database, base_port, sink.port, log, self.serve_options) as server:
            server.await_contexts()
            begun(server.page)
            loaded_cpu_s, callers_cpu_s = server.cpu_s(), time.process_time()
            settings = CallerSettings(
                registration_port=server.udp_port,
                audio_base_port=base_port,
                style=self.style,
                realtime=self.realtime,
                connect_timeout_s=self.register_s,
            )
            begins_s = self.begins_s or [lane * self.stagger_s for lane in range(self.at_once)]
            lanes = [
                gevent.spawn_later(begin_s, self._lane, lane, calls, settings)
                for lane, begin_s in enumerate(begins_s)
            ]
            states: dict[int, str] = {}
            too_late = CallfsmError(f"the calls were not over after {self.timeout_s:g} s")
            try:
                with gevent.Timeout(self.timeout_s if self.timeout_s < inf else None, too_late):
                    self._await_end(server, lanes, states, show)
            finally:
                gevent.killall(lanes)
            metrics, cpu_s = server.metrics(), server.cpu_s() - loaded_cpu_s
            callers_cpu_s = time.process_time() - callers_cpu_s
            exit_code = server.stop()
        sink.stop()
        failures = [str(lane.exception) for lane in lanes if lane.exception is not None]
        if exit_code != 0:
            failures.append(f"the server ended with exit code {exit_code}; its log is {log}")
        if failures:
            raise CallfsmError("; ".join(failures))
        reports = {report.call_id: report for lane in lanes for report in lane.get()}
        results = [
            _judge(
                call,
                reports[i],
                sink=sink,
                database=database,
                state=states.get(i, "unknown"),
                timing_engine=timing_engine,
            )
            for i, call in enumerate(calls, 1)
            if i in reports
        ]
        refused = tuple(i for i in range(1, len(calls) + 1) if i not in reports)
        return Played(results, metrics, cpu_s, callers_cpu_s, refused)

    def _await_end(
        self,
        server: ServerProcess,
        lanes: Sequence["gevent.Greenlet[..., list[CallReport]]"],
        states: dict[int, str],
        show: Callable[[Snapshot], None],
    ) -> None:
        """Wait for the callers, then for the server to close their calls."""
        while not all(lane.ready() for lane in lanes):
            look(server, states, show)
            gevent.joinall(lanes, timeout=self.view_every_s)
        with gevent.Timeout(self.close_timeout_s, CallfsmError("a call was not closed in time")):
            while any(state != "closed" for state in look(server, states, show).values()):
                gevent.sleep(self.view_every_s)

    def _lane(
        self, lane: int, calls: Sequence[SpokenCall], settings: CallerSettings
    ) -> list[CallReport]:
        """Every call of this lane, one after the other; those that were let in."""
        reports = []
        for index in range(lane, len(calls), self.at_once):
            try:
                reports.append(Caller(index + 1, calls[index].samples, settings).run())
            except CallFailedError as error:
                if not self.may_refuse or error.report.connected_after_s is not None:
                    raise
        return reports


def look(
    server: ServerProcess, states: dict[int, str], show: Callable[[Snapshot], None]
) -> dict[int, str]:
    """Bring `states`, by call id, up to what the server says now, and show that."""
    snapshot = server.calls()
    # The server shows every open call and the last few that were closed.
    states.update(dict.fromkeys(states, "closed"))
    states.update((call["call_id"], call["state"]) for call in snapshot)
    show(snapshot)
    return states


def _judge(
    call: SpokenCall,
    report: CallReport,
    *,
    sink: Sink,
    database: Path,
    state: str,
    timing_engine: Engine,
) -> CallResult:
    arrivals = [
        Arrival(message.text, message.at_monotonic_s - (report.spoken_from_s or 0.0))
        for message in sink.messages
        if message.call_id == report.call_id and message.text.strip()
    ]
    text = " ".join(arrival.text for arrival in arrivals)
    words = heard_words(timed_words(call, timing_engine), arrivals)
    return CallResult(
        call_id=report.call_id,
        reference=call.text,
        text=text,
        stored_text=stored_text(database, report.call_id),
        state=state,
        errors=word_errors(call.text, text),
        send_lag_s=report.worst_lag_s,
        arrivals=arrivals,
        words=words,
        utterances=utterances(call, words),
        begun_s=report.spoken_from_s or 0.0,
        duration_s=call.duration_s,
        refused_s=report.connected_after_s or 0.0,
    )


def stored_text(database: Path, call_id: int) -> str:
    """The call's transcription in the database, without the space before its first piece."""
    with sqlite3.connect(database) as connection:
        row = connection.execute(
            "SELECT transcription FROM calls WHERE id = ?", (call_id,)
        ).fetchone()
    return str(row[0]).strip() if row else ""
