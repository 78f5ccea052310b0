"""From start to stop: what is refused, what is drained, and what the database says meanwhile."""

import json
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import gevent
import numpy as np
import pytest
from gevent import socket, subprocess
from gevent.pool import Group
from raw_peer import RawPeer
from server_fixture import (
    PATIENCE_S,
    House,
    Script,
    eventually,
    said,
    serving,
    silence,
    speech,
)

from callfsm.errors import CallfsmError, ConfigError
from callfsm.inference.admission import Refusal
from service import engine_choice
from service.engine_choice import EngineChoice
from service.metrics import Metrics
from service.peers.ports import free_base_port
from service.peers.sink import Sink
from service.registrar import Registrar
from service.serve import serve
from service.server import Server
from service.settings import load_settings
from service.store.store import Store


def config(database: Path, key: str) -> str:
    """A value of `system_config` as another program reads it, "" while there is none."""
    with closing(sqlite3.connect(database)) as connection, suppress(sqlite3.OperationalError):
        query = "SELECT value FROM system_config WHERE key = ?"
        return str((connection.execute(query, (key,)).fetchone() or [""])[0])
    return ""


def configure(database: Path, key: str, value: str) -> None:
    Store(database).close(1.0)  # makes the tables
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO system_config (key, value) VALUES (?, ?)", (key, value))


def status(database: Path) -> str:
    return config(database, "whisper_service_status")


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def scripted(script: Script, *, contexts: int) -> EngineChoice:
    return EngineChoice("scripted", script.make_engine, contexts=contexts)


# ---------------------------------------------------------------- start
def test_the_status_goes_from_starting_to_running_to_stopped(tmp_path: Path) -> None:
    """Other programs read in the database how the service is; at the end the engines are freed."""
    script = Script()
    script.may_load.clear()
    database = tmp_path / "whisper_talk.db"
    settings = load_settings({"udp_port": 0, "database": database})
    server = Server(settings, scripted(script, contexts=2), Store(database))
    starting = gevent.spawn(server.start)
    eventually(lambda: script.loads == 2, "loading")
    assert status(database) == "starting"
    script.may_load.set()
    starting.get(timeout=PATIENCE_S)
    assert status(database) == "running"
    server.stop()
    assert status(database) == "stopped"
    assert script.closed == 2


def test_a_call_that_registers_while_the_model_loads_is_connected_afterwards(
    tmp_path: Path,
) -> None:
    """The UDP port is there before the model is warm, and keeps what it gets."""
    script = Script()
    script.may_load.clear()
    udp_port, base_port = free_udp_port(), free_base_port(16)

    def register(peer: RawPeer) -> None:
        eventually(lambda: script.loads == 2, "loading")
        peer.register()
        script.may_load.set()

    with RawPeer(7, base_port, udp_port) as peer:
        gevent.spawn(register, peer)
        with serving(tmp_path, script, udp_port=udp_port, audio_base_port=base_port):
            peer.accept()


def test_a_start_that_fails_gives_its_ports_back(tmp_path: Path) -> None:
    """No context can be loaded: one sentence, and the next server can have the UDP port."""
    script = Script(fail_loads={1, 2})
    udp_port = free_udp_port()
    database = tmp_path / "whisper_talk.db"
    settings = load_settings({"udp_port": udp_port, "database": database})
    with pytest.raises(CallfsmError, match="cannot load"):
        Server(settings, scripted(script, contexts=2), Store(database)).start()
    Registrar(("127.0.0.1", udp_port), 9001, lambda message: None, Metrics()).stop()


@pytest.mark.parametrize("error", [CallfsmError("no memory"), OSError("no memory")])
def test_a_start_never_hangs_on_an_engine_that_fails(tmp_path: Path, error: Exception) -> None:
    """In whatever way loading fails, start says so."""
    script = Script(fail_loads={1}, load_error=error)
    database = tmp_path / "whisper_talk.db"
    settings = load_settings({"udp_port": 0, "database": database})
    server = Server(settings, scripted(script, contexts=1), Store(database))
    with gevent.Timeout(PATIENCE_S), pytest.raises(CallfsmError, match="no memory"):
        server.start()


def test_contexts_are_counted_by_what_they_do_now(tmp_path: Path) -> None:
    """With no call, too: the last one loaded is idle, and nothing has happened since."""
    with serving(tmp_path) as house:
        eventually(lambda: house.count("inference_contexts", state="idle") == 2, "two idle")
        assert house.count("inference_contexts", state="loading") == 0


def test_one_context_that_loads_is_enough(tmp_path: Path) -> None:
    """Two were asked for, one fails: calls are served by the other."""
    with serving(tmp_path, Script(fail_loads={1})) as house:
        house.caller(7, speech(7, 5)).run()
        house.expect(7, said(7, 5))


# ---------------------------------------------------------------- the limit
def test_calls_beyond_the_limit_are_refused_until_there_is_room(tmp_path: Path) -> None:
    """Five register at once where two may call: two are connected, the others one after another."""
    with serving(tmp_path, max_calls=2) as house:
        most = 0
        callers = Group()
        for call_id in range(1, 6):
            callers.spawn(house.caller(call_id, speech(call_id, 10)).run)
        while len(callers):
            most = max(most, house.server.switchboard.connected)
            gevent.sleep(0)
        for call_id in range(1, 6):
            house.expect(call_id, said(call_id, 10))
        assert most == 2
        assert house.count("calls_refused_total", reason="limit") == 3


def test_a_call_known_by_its_row_only_takes_no_room(tmp_path: Path) -> None:
    """A REGISTER whose port does not answer leaves room for one that does."""
    with serving(tmp_path, max_calls=1) as house, house.peer(8) as peer:
        peer.datagram(b"REGISTER:7")
        eventually(lambda: house.count("notes_total", what="connect_failed") == 1, "no answer")
        peer.begin()
        eventually(lambda: house.state(8) == "buffering", "connected")
        with house.peer(7) as late:
            late.register()
            eventually(lambda: house.count("calls_refused_total", reason="limit") == 1, "refused")
            assert not late.has_a_caller()


def test_a_call_that_cannot_be_borne_now_comes_in_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is refused with one line however often it registers; who is here goes on; and it is let
    in by the first REGISTER after that."""
    asked = []

    def refuse(calls: int) -> Refusal:
        asked.append(calls)
        return Refusal.LATE

    with serving(tmp_path) as house, house.peer(7) as here, house.peer(8) as new:
        here.begin()
        eventually(lambda: house.state(7) == "buffering", "connected")
        monkeypatch.setattr(house.server._inference, "refuses_call", refuse)
        for _ in range(3):
            here.register()
            new.register()
        eventually(lambda: asked == [1, 1, 1], "asked, of the new call only")
        assert not new.has_a_caller()
        assert house.count("calls_refused_total", reason="late") == 1
        assert caplog.text.count("call 8: refused (late), 1 calls are connected") == 1
        here.send_audio(speech(7, 5), 320)
        here.send_end()
        house.expect(7, said(7, 5))
        monkeypatch.undo()
        new.begin()
        eventually(lambda: house.state(8) == "buffering", "let in")


def test_without_admission_control_only_the_limit_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--admission off`: nobody asks whether a call can be borne."""
    with serving(tmp_path, admission="off") as house, house.peer(7) as peer:
        monkeypatch.setattr(house.server._inference, "refuses_call", lambda calls: Refusal.LATE)
        peer.begin()
        eventually(lambda: house.state(7) == "buffering", "connected")


# ---------------------------------------------------------------- stop
def test_a_stop_drains_every_call(tmp_path: Path) -> None:
    """Words that were heard when the stop came still go everywhere, and each link says BYE."""
    with serving(tmp_path) as house, house.peer(7) as one, house.peer(8) as two:
        house.script.hold()
        for peer in (one, two):
            peer.begin()
            peer.send_audio(speech(peer.call_id, 35), 320)
        sessions = house.server.switchboard.sessions
        eventually(
            lambda: sum(s.call.windows.heard_s for s in sessions.values()) > 13.9, "audio heard"
        )
        stopping = gevent.spawn(house.server.stop)
        eventually(lambda: all(s.call.draining for s in sessions.values()), "draining")
        house.script.let_all()
        stopping.get(timeout=PATIENCE_S)
        for peer in (one, two):
            assert house.at_sink(peer.call_id) == said(peer.call_id, 35)
            peer.listen()
            assert peer.ended
        eventually(lambda: not house.sink.connected, "BYE")
        assert house.sink.faults == []
    with closing(sqlite3.connect(house.settings.database)) as connection:
        texts = dict(connection.execute("SELECT id, transcription FROM calls"))
    assert {n: text.strip() for n, text in texts.items()} == {7: said(7, 35), 8: said(8, 35)}


def test_a_caller_who_talks_on_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    """What was heard before the stop is transcribed; what is said after it is not listened to."""
    with serving(tmp_path) as house, house.peer(7) as peer:
        house.script.hold()
        peer.begin()
        peer.send_audio(speech(7, 10), 320)
        call = house.server.switchboard.sessions[7].call
        eventually(lambda: call.windows.heard_s >= 2.0, "audio heard")
        stopping = gevent.spawn(house.server.stop)
        eventually(lambda: call.draining, "draining")
        peer.send_audio(speech(7, 10, 10), 320)
        gevent.sleep(0.05)  # time in which it would be heard
        house.script.let_all()
        stopping.get(timeout=PATIENCE_S)
        assert house.at_sink(7) == said(7, 10)
        peer.listen()
        assert " ".join(peer.texts) == said(7, 10)
        assert peer.ended


def hold_a_window(house: House, peer: RawPeer) -> None:
    """Call 7 has said five words and its end; an engine has its window, and keeps it."""
    house.script.hold()
    peer.begin()
    peer.send_audio(speech(7, 5), 320)
    peer.send_end()
    eventually(lambda: house.state(7) == "inferring", "inferring")


def test_a_call_that_cannot_finish_is_named_and_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An engine that hangs does not keep the service from stopping."""
    with serving(tmp_path, drain_s=0.05) as house, house.peer(7) as peer:
        hold_a_window(house, peer)
        house.server.stop()
        assert "call 7: not finished in 0 s" in caplog.messages
    assert status(house.settings.database) == "stopped"


def test_a_row_of_ours_is_ended_even_if_its_call_cannot_finish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else would end it: the next server would try it as an active call."""
    with serving(tmp_path, drain_s=0.05) as house, house.peer(7) as peer:
        peer.begin()
        peer.send_audio(np.concatenate([speech(7, 5), silence(0.5)]), 320)
        eventually(lambda: house.in_database(7) == said(7, 5), "text")
        monkeypatch.setattr(house.server.switchboard.sessions[7], "shut_down", lambda: None)
        house.server.stop()
    with closing(sqlite3.connect(house.settings.database)) as connection:
        assert connection.execute("SELECT status FROM calls").fetchall() == [("ended",)]


def test_a_call_that_finishes_late_still_speaks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What was being transcribed when the time was over goes to LLaMA, too, not only to disk."""
    with serving(tmp_path, drain_s=0.2) as house, house.peer(7) as peer:
        hold_a_window(house, peer)
        stopping = gevent.spawn(house.server.stop)
        eventually(lambda: "call 7: not finished in 0 s" in caplog.messages, "the end of its time")
        house.script.let_all()
        stopping.get(timeout=PATIENCE_S)
        assert house.at_sink(7) == said(7, 5)
    with closing(sqlite3.connect(house.settings.database)) as connection:
        assert connection.execute("SELECT transcription FROM calls").fetchall() == [
            (f" {said(7, 5)}",)
        ]


def test_nothing_of_a_call_outlives_it(tmp_path: Path) -> None:
    """After its end no session, pending answer or timer of the call is left; its link is kept."""
    with serving(tmp_path) as house:
        for call_id in range(1, 9):
            house.caller(call_id, speech(call_id, 8)).run()
            house.expect(call_id, said(call_id, 8))
        eventually(lambda: not house.server.switchboard.sessions, "ends")
        assert len(house.server._inference._waiting) == 0
        assert len(house.server._runtime._timers) == len(house.server.switchboard.links)


# ---------------------------------------------------------------- the process
@contextmanager
def process(*arguments: str) -> Iterator[Any]:
    """A scripted server process, killed if the test leaves it running."""
    program = str(Path(__file__).with_name("scripted_server.py"))
    server = subprocess.Popen(
        [sys.executable, program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        with gevent.Timeout(3 * PATIENCE_S):
            yield server
    finally:
        if server.poll() is None:
            server.kill()
        server.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_after_its_calls(tmp_path: Path, number: int) -> None:
    """In mid-call the signal comes: every word heard is delivered, exit code 0, status stopped."""
    database, udp_port, base_port = tmp_path / "talk.db", free_udp_port(), free_base_port(16)
    sink = Sink(port=0)
    sink.start()
    options = {
        "udp_port": udp_port,
        "audio_base_port": base_port,
        "llama_port": sink.port,
        "database": str(database),
        "telephone_band": False,
        "contexts": 1,
    }
    with process(json.dumps(options)) as server, RawPeer(7, base_port, udp_port) as peer:
        assert server.stdout.readline().startswith(b"callfsm ready: ")
        assert status(database) == "running"
        peer.begin()
        peer.send_audio(speech(7, 30), 320)
        eventually(lambda: sink.texts(7) != [], "first text")
        server.send_signal(number)
        assert server.wait(timeout=PATIENCE_S) == 0
        peer.listen()
        assert peer.ended
    words = sink.texts(7)
    assert " ".join(words) == said(7, len(" ".join(words).split()))
    assert status(database) == "stopped"
    sink.stop()


def test_a_signal_while_the_model_loads_ends_the_process_in_order(tmp_path: Path) -> None:
    """It waits for the load, and says in the database that it stopped."""
    database, gate = tmp_path / "talk.db", tmp_path / "may-load"
    options = {"udp_port": 0, "database": str(database), "contexts": 1}
    with process(json.dumps(options), str(gate)) as server:
        eventually(lambda: database.exists() and status(database) == "starting", "starting")
        server.send_signal(signal.SIGTERM)
        gate.touch()
        assert server.wait(timeout=PATIENCE_S) == 0
    assert status(database) == "stopped"


def test_a_second_signal_ends_the_process_at_once(tmp_path: Path) -> None:
    """Who does not want to wait for the calls asks twice."""
    database, udp_port, base_port = tmp_path / "talk.db", free_udp_port(), free_base_port(16)
    options = {
        "udp_port": udp_port,
        "audio_base_port": base_port,
        "llama_port": free_udp_port(),  # nobody listens: the end waits for it
        "database": str(database),
        "telephone_band": False,
        "contexts": 1,
    }
    with process(json.dumps(options)) as server, RawPeer(7, base_port, udp_port) as peer:
        server.stdout.readline()
        peer.begin()
        peer.send_audio(np.concatenate([speech(7, 8), silence(0.4)]), 320)
        peer.listen(texts=1)
        server.send_signal(signal.SIGTERM)
        peer.listen()  # the call is over; the text still waits for LLaMA
        assert server.poll() is None
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=PATIENCE_S) == -signal.SIGTERM


# ---------------------------------------------------------------- what the database wishes
def test_a_service_switched_off_in_the_database_stays_down(tmp_path: Path) -> None:
    """`whisper_service_enabled` says no: one sentence, and the status is stopped."""
    database = tmp_path / "talk.db"
    configure(database, "whisper_service_enabled", "0")
    with pytest.raises(ConfigError, match="whisper_service_enabled is off"):
        serve(load_settings({"udp_port": 0, "database": database}), announce=lambda line: None)
    assert status(database) == "stopped"


@pytest.mark.parametrize(
    ("given", "expected"), [(None, "from-database"), ("from-option", "from-option")]
)
def test_the_model_is_the_database_s_unless_the_operator_names_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None, expected: str
) -> None:
    """`whisper_model_path` is read; `--model` goes before it."""
    database = tmp_path / "talk.db"
    configure(database, "whisper_model_path", "from-database")

    def resolve(model: str) -> Path:
        raise ConfigError(f"asked for {model}")

    monkeypatch.setattr(engine_choice, "resolve", resolve)
    settings = load_settings({"udp_port": 0, "database": database, "model": given})
    with pytest.raises(ConfigError, match=f"asked for {expected}"):
        serve(settings, announce=lambda line: None)
    assert status(database) == "error"


def test_a_second_server_on_the_same_port_leaves_the_first_one_s_status_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its port is taken by a server that runs on the same database, and still is running."""
    monkeypatch.setattr(engine_choice, "resolve", Path)
    with serving(tmp_path) as house:
        settings = house.settings.model_copy(update={"udp_port": house.udp_port, "model": "any"})
        with pytest.raises(ConfigError, match=f"cannot listen on UDP 127.0.0.1:{house.udp_port}"):
            serve(settings, announce=lambda line: None)
        assert status(house.settings.database) == "running"
