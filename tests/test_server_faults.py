"""One call goes wrong, in every way a peer or an engine can; the call next to it stays whole."""

import sqlite3
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import gevent
import numpy as np
import pytest
from gevent import socket
from gevent.pool import Group
from raw_peer import RawPeer
from server_fixture import (
    FRAME_SAMPLES,
    House,
    Script,
    add_call,
    eventually,
    said,
    serving,
    silence,
    speech,
)

from callfsm.call.merge import Merger
from callfsm.call.windows import WindowBuffer
from callfsm.errors import CallfsmError
from callfsm.inference import pool
from service import discovery
from service.inference import InferenceService
from service.metrics import Metrics
from service.registrar import Registrar
from service.wire import Bye, Register, Samples

HEALTHY = 1
FAULTY = 7


def _has_counted(house: House, malformed: int) -> bool:
    return house.count("datagrams_malformed_total") == malformed


@contextmanager
def beside_a_healthy_call(
    folder: Path, script: Script | None = None, **settings: Any
) -> Iterator[tuple[House, RawPeer]]:
    """A server and the peer of call 7; call 1 goes on meanwhile, and must come out whole."""
    with serving(folder, script, **settings) as house, house.peer(HEALTHY) as healthy:
        healthy.begin()
        healthy.send_audio(speech(HEALTHY, 30), 320)
        with house.peer(FAULTY) as faulty:
            yield house, faulty
        healthy.send_audio(speech(HEALTHY, 10, 30), 320)
        healthy.send_end()
        house.expect(HEALTHY, said(HEALTHY, 40))


def connected(house: House, peer: RawPeer) -> None:
    """The service has connected, and no HELLO is sent yet."""
    peer.register()
    peer.accept()
    eventually(lambda: house.state(FAULTY) == "buffering", "connection")


def test_a_malformed_datagram_is_counted_and_ends_nothing(tmp_path: Path) -> None:
    """It makes no call, and the next good one from the same source is heard."""
    malformed = (
        b"",
        b"\x00\xff\xfe\x80binary",
        b"REGISTER:" + b"7" * 60_000,
        b"REGISTER:0",
        b"REGISTER:-7",
        b"REGISTER:99999999999",
        b"REGISTER:7.0",
        "REGISTER:٧".encode(),
        b"REGISTER",
        b"register:7",
        b"BYE:",
    )
    with beside_a_healthy_call(tmp_path) as (house, peer):
        for count, datagram in enumerate(malformed, 1):
            peer.datagram(datagram)
            what = f"the count of {datagram[:20]!r}"
            eventually(partial(_has_counted, house, count), what)
        assert set(house.server.switchboard.sessions) == {HEALTHY}
        peer.begin()


def test_malformed_datagrams_are_logged_once_per_source(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A thousand of them fill no log."""
    with beside_a_healthy_call(tmp_path) as (house, peer):
        for _ in range(10):
            for _ in range(100):
                peer.datagram(b"nonsense")
            gevent.sleep(0)
        eventually(lambda: house.count("datagrams_malformed_total") > 100, "the count")
        logged = [message for message in caplog.messages if "nonsense" in message]
        assert len(logged) == 1


def test_a_datagram_that_cannot_be_handled_is_the_last_of_none() -> None:
    """A fault of ours in one registration is logged; the next one is heard."""
    heard: list[Register | Bye] = []

    def hear(message: Register | Bye) -> None:
        if message == Register(FAULTY):
            raise RuntimeError("a bug")
        heard.append(message)

    registrar = Registrar(("127.0.0.1", 0), 9001, hear, Metrics())
    registrar.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
        for call_id in (FAULTY, HEALTHY):
            caller.sendto(b"REGISTER:%d" % call_id, ("127.0.0.1", registrar.port))
        eventually(lambda: heard == [Register(HEALTHY)], "the other call")
    registrar.stop()


def test_a_flood_of_datagrams_keeps_nobody_else_waiting() -> None:
    """Others run between one datagram and the next, however many wait."""
    heard: list[Register | Bye] = []
    ticks: list[int] = []
    registrar = Registrar(("127.0.0.1", 0), 9001, heard.append, Metrics())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
        for _ in range(100):
            flood.sendto(b"REGISTER:7", ("127.0.0.1", registrar.port))
    registrar.start()
    while len(heard) < 100:
        ticks.append(len(heard))
        gevent.sleep(0)
    registrar.stop()
    assert len(ticks) >= 50


@pytest.mark.parametrize("length", [0, 1001, 0xFFFFFFFF])
def test_a_hello_of_wrong_length_ends_only_its_call(tmp_path: Path, length: int) -> None:
    """HELLO has 1 to 1000 bytes; anything else is a protocol error."""
    with beside_a_healthy_call(tmp_path) as (house, peer):
        connected(house, peer)
        peer.send(struct.pack(">I", length))
        peer.listen()
        eventually(lambda: house.state(FAULTY) == "", "end of the call")
        assert house.count("protocol_errors_total") == 1


@pytest.mark.parametrize("length", [1, 6, 2_000_001, 2_000_004, 0xFFFFFFFE])
def test_a_chunk_of_wrong_length_ends_only_its_call(tmp_path: Path, length: int) -> None:
    """What came before it is transcribed all the same."""
    with beside_a_healthy_call(tmp_path) as (house, peer):
        peer.begin()
        peer.send_audio(speech(FAULTY, 8), 16_000)
        peer.send(struct.pack(">I", length))
        house.expect(FAULTY, said(FAULTY, 8))
        assert house.count("protocol_errors_total") == 1
        assert house.count("calls_total", end="protocol error") == 1


def test_samples_that_are_no_numbers_are_silence_and_counted(tmp_path: Path) -> None:
    """NaN and the infinities become 0; the samples around them keep their place."""
    audio = speech(FAULTY, 8)
    audio[100::FRAME_SAMPLES] = np.nan
    audio[200::FRAME_SAMPLES] = np.inf
    audio[250::FRAME_SAMPLES] = -np.inf
    with beside_a_healthy_call(tmp_path) as (house, peer):
        peer.begin()
        peer.send_audio(audio, 16_000)
        peer.send_end()
        house.expect(FAULTY, said(FAULTY, 8))
        assert house.count("samples_not_finite_total") == 3 * 80


def test_the_end_inside_a_chunk_costs_only_what_is_missing(tmp_path: Path) -> None:
    """The connection closes in mid-chunk: a protocol error, and what came is transcribed."""
    with beside_a_healthy_call(tmp_path) as (house, peer):
        peer.begin()
        audio = speech(FAULTY, 8).astype("<f4").tobytes()
        peer.send(struct.pack(">I", 2 * len(audio)) + audio)
        peer.shut()
        house.expect(FAULTY, said(FAULTY, 8))
        assert house.count("protocol_errors_total") == 1


def test_a_reset_connection_costs_only_what_is_missing(tmp_path: Path) -> None:
    """After a TCP reset, what had arrived is transcribed."""
    with beside_a_healthy_call(tmp_path) as (house, peer):
        peer.begin()
        peer.send_audio(speech(FAULTY, 8), 16_000)
        call = house.server.switchboard.sessions[FAULTY].call
        eventually(lambda: call.windows.heard_s >= 1.6, "the audio")
        peer.reset()
        house.expect(FAULTY, said(FAULTY, 8))
        assert house.count("calls_total", end="connection lost") == 1


def test_a_peer_that_connects_and_says_nothing_is_closed(tmp_path: Path) -> None:
    """After the idle time the call is over; the next one is heard."""
    with serving(tmp_path, idle_s=0.1) as house, house.peer(FAULTY) as peer:
        connected(house, peer)
        peer.listen()
        assert peer.ended
        eventually(lambda: house.state(FAULTY) == "", "end of the call")
        assert house.count("calls_total", end="idle") == 1
        house.caller(HEALTHY, speech(HEALTHY, 5)).run()
        house.expect(HEALTHY, said(HEALTHY, 5))


def test_an_engine_that_fails_once_costs_no_word(tmp_path: Path) -> None:
    """The window is tried again, and the context is loaded anew."""
    script = Script(failures={FAULTY: 1})
    with beside_a_healthy_call(tmp_path, script) as (house, peer):
        peer.begin()
        peer.send_audio(speech(FAULTY, 8), 16_000)
        peer.send_end()
        house.expect(FAULTY, said(FAULTY, 8))
        assert house.count("notes_total", what="inference_retried") == 1
        eventually(lambda: script.loads == 3, "context loaded anew")


def test_a_window_that_fails_twice_is_counted_and_heard_by_the_next(tmp_path: Path) -> None:
    """A note says which, the call goes on, and the next window, which hears it again as context,
    brings its words."""
    script = Script(failures={FAULTY: 2})
    with beside_a_healthy_call(tmp_path, script, eager_step_s=0) as (house, peer):
        peer.begin()
        peer.send_audio(np.concatenate([speech(FAULTY, 8), silence(0.4)]), 320)
        eventually(lambda: house.count("notes_total", what="window_lost") == 1, "the loss")
        peer.send_audio(speech(FAULTY, 8, 8), 320)
        peer.send_end()
        house.expect(FAULTY, said(FAULTY, 16))


@pytest.mark.parametrize("error", [CallfsmError("no memory"), RuntimeError("no memory")])
def test_a_context_that_cannot_be_loaded_again_is_tried_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The only context fails, and its second load too: the text waits for the third."""
    monkeypatch.setattr(pool, "RELOAD_AFTER_S", 0.01)
    script = Script(failures={FAULTY: 1}, fail_loads={2}, load_error=error)
    with beside_a_healthy_call(tmp_path, script, contexts=1) as (house, peer):
        peer.begin()
        peer.send_audio(speech(FAULTY, 8), 16_000)
        peer.send_end()
        house.expect(FAULTY, said(FAULTY, 8))
        assert script.loads == 3


def test_a_server_without_a_context_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its status is "error" and new calls are refused, until a context works again."""
    monkeypatch.setattr(pool, "RELOAD_AFTER_S", 0.6)
    monkeypatch.setattr(discovery, "EVERY_S", 0.01)
    script = Script(failures={FAULTY: 1}, fail_loads={2})
    with serving(tmp_path, script, contexts=1) as house, house.peer(FAULTY) as peer:

        def is_told(status: str) -> None:
            store = house.server.store
            eventually(lambda: store.read_config("whisper_service_status") == status, status)

        peer.begin()
        peer.send_audio(speech(FAULTY, 8), 16_000)
        is_told("error")
        with house.peer(HEALTHY) as other, house.peer(HEALTHY + 1) as active:
            add_call(house.settings.database, HEALTHY + 1, "sip", "2026-01-01 00:00:00", "active")
            other.register()
            eventually(lambda: house.count("calls_refused_total", reason="down") == 1, "refusal")
            assert not active.has_a_caller()
        is_told("running")
        with house.peer(HEALTHY) as other:
            other.register()
            other.accept()


def test_a_fault_of_the_inference_actor_ends_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can be transcribed any more: nobody waits for it, and whoever watches us is told."""
    with serving(tmp_path) as house, house.peer(FAULTY) as peer:
        monkeypatch.setattr(pool.Pool, "pop_batch", lambda _: 1 / 0)
        peer.begin()
        peer.send_audio(speech(FAULTY, 8), 16_000)
        peer.send_end()
        eventually(lambda: house.server.fault != "", "the fault")
        house.server.run()
        assert house.state(FAULTY) == ""
        assert house.count("notes_total", what="window_lost") > 0
    with sqlite3.connect(house.settings.database) as connection:
        (row,) = connection.execute("SELECT value FROM system_config")
    assert row == ("error",)


def test_failures_of_an_engine_leave_no_traceback_on_stderr(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """They are logged, one line each; the hub is not told of them as of a bug."""
    with serving(tmp_path, Script(failures={FAULTY: 2})) as house:
        house.caller(FAULTY, speech(FAULTY, 8)).run()
        eventually(lambda: house.state(FAULTY) == "", "end of the call")
    assert "Traceback" not in capfd.readouterr().err


def test_a_fault_of_ours_ends_one_call_and_closes_its_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception in a handler is counted; the call can come again."""
    append = WindowBuffer.append
    bad_sample = speech(FAULTY, 1)[0]

    def append_or_fail(self: WindowBuffer, samples: Samples) -> None:
        if samples[0] == bad_sample:
            raise RuntimeError("a bug")
        append(self, samples)

    with beside_a_healthy_call(tmp_path) as (house, peer):
        with monkeypatch.context() as bug:
            bug.setattr(WindowBuffer, "append", append_or_fail)
            peer.begin()
            peer.send_audio(speech(FAULTY, 5), 320)
            peer.listen()
            assert peer.ended
            peer.close()
        assert house.count("calls_crashed_total") == 1
        assert house.state(FAULTY) == ""
        peer.begin()
        peer.send_audio(speech(FAULTY, 5), 320)
        peer.send_end()
        house.expect(FAULTY, said(FAULTY, 5))


def test_a_crash_that_causes_another_still_ends_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever fails while a call is ended for a fault, its connection is closed."""

    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    with serving(tmp_path) as house, house.peer(FAULTY) as peer:
        with monkeypatch.context() as bugs:
            bugs.setattr(Merger, "merge", fail)
            bugs.setattr(InferenceService, "withdraw", fail)
            peer.begin()
            with pytest.raises(ConnectionError):
                peer.send_audio(speech(FAULTY, 1_000), 320)
        eventually(lambda: house.state(FAULTY) == "", "end of the call")
        assert house.count("calls_crashed_total") == 1


def test_engines_slower_than_the_audio_make_the_senders_wait(tmp_path: Path) -> None:
    """Engines stand still: buffers fill to their cap and no further, and nothing is lost."""
    call_ids = range(1, 5)
    with serving(tmp_path, buffer_s=6.0) as house, ExitStack() as lines:
        house.script.hold()
        senders = Group()
        for call_id in call_ids:
            peer = lines.enter_context(house.peer(call_id))
            peer.begin()
            senders.spawn(_send_all, peer, speech(call_id, 200))
        calls = [house.server.switchboard.sessions[call_id].call for call_id in call_ids]
        eventually(lambda: all(call.reading_paused for call in calls), "back-pressure")
        gevent.sleep(0.05)  # time in which more would be heard
        assert all(call.windows.heard_s < 15.0 + 6.0 + 1.0 for call in calls)  # a window, a buffer
        assert len(senders) == len(calls)  # are blocked, with most of their 40 s
        most_s = 0.0
        while len(senders):
            most_s = max(most_s, *(call.windows.buffered_s for call in calls))
            house.script.let()
            gevent.sleep(0.001)
        house.script.let_all()
        for call_id in call_ids:
            house.expect(call_id, said(call_id, 200))
        assert 6.0 <= most_s <= 6.0 + 1.0
        assert house.count("notes_total", what="window_lost") == 0


def _send_all(peer: RawPeer, samples: Samples) -> None:
    peer.send_audio(samples, FRAME_SAMPLES)
    peer.send_end()
