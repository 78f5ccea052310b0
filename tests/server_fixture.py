"""A whole server over loopback with an engine that hears numbers: what the tests of it share.

Every 20 ms frame of `speech` carries its call and its number in three samples. `NumberEngine` reads
them back and says word "c7w12" for ten frames of call 7, so a lost word, a doubled word and a
sample that never reached an engine can all be told from the text and from `Script.frames`.
"""

import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import gevent
import numpy as np
from raw_peer import RawPeer

from callfsm.call.companding import compress, expand, to_pcm16
from callfsm.call.settings import CallSettings
from callfsm.errors import EngineError
from callfsm.inference.engine import AudioWindow, Engine, Transcript
from callfsm.words import Word
from service.engine_choice import EngineChoice
from service.peers.caller import Caller, CallerSettings
from service.peers.ports import free_base_port
from service.peers.sink import Sink
from service.server import Server
from service.settings import Settings
from service.store.store import Store
from service.wire import Samples

FRAME_SAMPLES = 320  # 20 ms; windows are cut between frames
FRAME_S = 0.02
WORD_FRAMES = 10
PATIENCE_S = 10.0  # for what should take milliseconds, on a busy machine

_SILENCE = 127  # the companded byte of a sample of 0
_LOWEST = 20  # companded steps above silence that stand for the digit 0
_DIGITS = 100


def speech(call_id: int, words: int, first_word: int = 0) -> Samples:
    """`words` words of 0.2 s each, from number `first_word` on, in call 0..99."""
    frames = np.arange(first_word * WORD_FRAMES, (first_word + words) * WORD_FRAMES)
    time_s = np.arange(len(frames) * FRAME_SAMPLES) / 16_000
    pitch_hz = 120 + 30 * np.sin(2 * np.pi * time_s / 1.3)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / 16_000
    syllables = 0.6 + 0.4 * np.sin(2 * np.pi * time_s / 0.2)
    voice = sum(np.sin(n * phase) / n for n in range(1, 25))
    samples = np.asarray(0.2 * syllables * voice, np.float32).reshape(-1, FRAME_SAMPLES)
    digits = np.stack([np.full(len(frames), call_id), frames // _DIGITS, frames % _DIGITS], axis=1)
    samples[:, :3] = expand((_SILENCE + _LOWEST + digits).astype(np.uint8))
    return samples.reshape(-1)


def silence(seconds: float) -> Samples:
    return np.zeros(int(seconds * 16_000), np.float32)


def said(call_id: int, words: int, first_word: int = 0) -> str:
    """The text of `speech` with the same arguments."""
    return " ".join(f"c{call_id}w{n}" for n in range(first_word, first_word + words))


@dataclass
class Script:
    """What the engines of a server are to do, and what they heard."""

    fail_loads: set[int] = field(default_factory=set)  # of the loads counted from 1
    load_error: Exception = field(default_factory=lambda: EngineError("cannot load"))
    failures: dict[int, int] = field(default_factory=dict)  # windows to fail on, by call
    loads: int = 0
    closed: int = 0
    frames: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))  # by call
    longest_s: float = 0.0  # window
    may_go: threading.Semaphore | None = None  # None: nobody waits
    may_load: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.may_load.set()

    def hold(self) -> None:
        """From here on each window waits for a permit of `let`."""
        self.may_go = threading.Semaphore(0)

    def let(self, windows: int = 1) -> None:
        assert self.may_go is not None
        self.may_go.release(windows)

    def let_all(self) -> None:
        """No window waits any more."""
        held, self.may_go = self.may_go, None
        if held is not None:
            held.release(1000)

    def make_engine(self) -> "NumberEngine":
        return NumberEngine(self)


class NumberEngine:
    """Hears the numbers in `speech`; a word that is cut in two is heard where most of it is."""

    max_batch = 1

    def __init__(self, script: Script) -> None:
        self._script = script

    def load(self) -> None:
        self._script.loads += 1
        self._script.may_load.wait(PATIENCE_S)
        if self._script.loads in self._script.fail_loads:
            raise self._script.load_error

    def transcribe(self, windows: Sequence[AudioWindow]) -> list[Transcript]:
        return [Transcript(self._words(window), 0.0) for window in windows]

    def abort(self) -> None:
        self._script.let_all()

    def close(self) -> None:
        self._script.closed += 1

    def _words(self, window: AudioWindow) -> tuple[Word, ...]:
        script = self._script
        if script.may_go is not None:
            script.may_go.acquire(timeout=PATIENCE_S)
        script.longest_s = max(script.longest_s, window.duration_s)
        frames = window.samples.reshape(-1, FRAME_SAMPLES)[:, :3]
        digits = compress(to_pcm16(frames)).astype(int) - _SILENCE - _LOWEST
        heard = [(i, *row) for i, row in enumerate(digits.tolist()) if row[0] >= 0]
        words = []
        for (call_id, word), members in groupby(
            heard, lambda f: (f[1], (f[2] * _DIGITS + f[3]) // WORD_FRAMES)
        ):
            at = [frame[0] for frame in members]
            if len(at) > WORD_FRAMES / 2:
                start_s, end_s = at[0] * FRAME_S, (at[-1] + 1) * FRAME_S
                words.append(Word(f"c{call_id}w{word}", start_s, end_s))
        for call_id in {frame[1] for frame in heard}:
            if script.failures.get(call_id, 0) > 0:
                script.failures[call_id] -= 1
                raise EngineError(f"the script fails call {call_id}")
        for _, call_id, high, low in heard:
            script.frames[call_id].add(high * _DIGITS + low)
        return tuple(words)


class QuickSettings(Settings):
    """Settings whose fixed waits can be made shorter."""

    grace_s: float = 2.0
    give_up_s: float = 30.0

    def call_settings(self) -> CallSettings:
        return replace(super().call_settings(), grace_s=self.grace_s, give_up_s=self.give_up_s)


@dataclass
class House:
    """A server that serves, its sink, and its callers' way in."""

    server: Server
    sink: Sink
    script: Script
    settings: Settings
    udp_port: int
    http_port: int | None

    def caller(self, call_id: int, samples: Samples, **settings: Any) -> Caller:
        """A caller that speaks as fast as it can, unless `settings` say otherwise."""
        chosen: dict[str, Any] = {
            "registration_port": self.udp_port,
            "audio_base_port": self.settings.audio_base_port,
            "realtime": False,
            "linger_s": PATIENCE_S,
        }
        return Caller(call_id, samples, CallerSettings(**(chosen | settings)))

    def peer(self, call_id: int) -> RawPeer:
        """The audio port of a call, to say bytes on."""
        return RawPeer(call_id, self.settings.audio_base_port, self.udp_port)

    def state(self, call_id: int) -> str:
        """The state of the call, "" when there is none."""
        session = self.server.switchboard.sessions.get(call_id)
        return session.call.state if session is not None else ""

    def at_sink(self, call_id: int) -> str:
        return " ".join(self.sink.texts(call_id))

    def in_database(self, call_id: int) -> str:
        assert self.server.store.flush(PATIENCE_S)
        return self.server.store.transcription(call_id).strip()

    def expect(self, call_id: int, text: str) -> None:
        """The call is over, and its whole text is at the sink and in the database."""
        eventually(lambda: self.state(call_id) in ("", "registered"), f"end of call {call_id}")
        eventually(lambda: len(self.at_sink(call_id)) >= len(text), f"text of call {call_id}")
        assert self.at_sink(call_id) == text
        assert self.in_database(call_id) == text

    def count(self, name: str, **labels: str) -> float:
        """A metric's value, 0 when nothing was counted."""
        return self.server.metrics.registry.get_sample_value(f"callfsm_{name}", labels) or 0.0


@contextmanager
def serving(
    folder: Path,
    script: Script | None = None,
    make_engine: Callable[[], Engine] | None = None,
    contexts: int = 2,
    **settings: Any,
) -> Iterator[House]:
    """A server on free ports with its database in `folder`, stopped in order at the end.

    Its engines follow `script`, or are those of `make_engine`.
    """
    script = script or Script()
    sink = Sink(port=0)
    sink.start()
    chosen: dict[str, Any] = {
        "udp_port": 0,
        "telephone_band": False,  # the numbers are in single samples
        "audio_base_port": free_base_port(16),
        "llama_port": sink.port,
        "database": folder / "whisper_talk.db",
        "detector": "webrtc",  # the speech of these tests is loud noise
    }
    with gevent.Timeout(3 * PATIENCE_S):
        parsed = QuickSettings(**(chosen | settings))
        engine = EngineChoice("scripted", make_engine or script.make_engine, contexts=contexts)
        server = Server(parsed, engine, Store(parsed.database))
        ports = server.start()
        try:
            yield House(server, sink, script, parsed, ports.udp, ports.http)
        finally:
            script.let_all()
            server.stop()
            sink.stop()


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Let everything run until `condition` holds."""
    with gevent.Timeout(PATIENCE_S, AssertionError(f"never came: {what}")):
        while not condition():
            gevent.sleep(0.002)


def add_call(database: Path, call_id: int, sip_call_id: str, start: str, status: str) -> None:
    """What the telephone side writes when a call begins."""
    with sqlite3.connect(database) as connection:
        connection.execute(
            "INSERT INTO calls (id, call_id, start_time, status) VALUES (?, ?, ?, ?)",
            (call_id, sip_call_id, start, status),
        )
    connection.close()
