"""/metrics and /calls: what an operator sees while calls go on."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gevent
import numpy as np
import pytest
from gevent import socket
from server_fixture import House, eventually, said, serving, silence, speech

from callfsm.call.events import Bye
from callfsm.call.windows import WindowBuffer
from callfsm.inference.engine import Transcript
from service import switchboard, web
from service.engines.fake import ScriptedEngine
from service.web import MOST_CONNECTIONS


def exchanged(house: House, request: bytes) -> bytes:
    """The whole answer to an HTTP request."""
    data = b""
    with socket.create_connection(("127.0.0.1", house.http_port), timeout=5.0) as connection:
        connection.sendall(request)
        while more := connection.recv(65_536):
            data += more
    return data


def answered(house: House, request: bytes) -> tuple[str, bytes]:
    """The status line and the body of the answer to an HTTP request."""
    head, _, body = exchanged(house, request).partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0].decode(), body


def get(house: House, path: str) -> tuple[str, bytes]:
    return answered(house, f"GET {path} HTTP/1.0\r\n\r\n".encode())


def calls(house: House) -> list[dict[str, Any]]:
    status, body = get(house, "/calls")
    assert status == "HTTP/1.1 200 OK"
    shown: list[dict[str, Any]] = json.loads(body)
    return shown


def test_calls_are_shown_with_state_and_text_by_id(tmp_path: Path) -> None:
    """A call that waits and one that is over stand side by side; the new call of an id counts."""
    with serving(tmp_path, http_port=0) as house, house.peer(8) as waiting:
        assert calls(house) == []
        house.caller(7, speech(7, 10)).run()
        house.expect(7, said(7, 10))
        waiting.begin()
        eventually(lambda: house.state(8) == "buffering", "connection")
        seven, eight = calls(house)
        assert (seven["call_id"], seven["state"], seven["text"]) == (7, "closed", said(7, 10))
        assert (seven["words"], seven["heard_s"]) == (10, 2.0)
        assert (eight["call_id"], eight["state"], eight["text"]) == (8, "buffering", "")
        house.caller(7, speech(7, 5, 10)).run()
        house.expect(7, said(7, 15))
        assert [call["text"] for call in calls(house)] == [said(7, 5, 10), ""]


def test_metrics_count_what_happened(tmp_path: Path) -> None:
    """Prometheus finds the calls, windows, words, waits, faults and dead letters."""
    with serving(tmp_path, http_port=0) as house, house.peer(8) as peer:
        house.caller(7, np.concatenate([speech(7, 8), silence(0.5)])).run()
        house.expect(7, said(7, 8))
        peer.datagram(b"nonsense")
        eventually(lambda: house.count("datagrams_malformed_total") == 1, "the count")
        status, body = get(house, "/metrics")
        assert status == "HTTP/1.1 200 OK"
        lines = body.decode().splitlines()
        for line in (
            'callfsm_calls_total{end="end of stream"} 1.0',
            "callfsm_calls_active 0.0",
            "callfsm_words_total 8.0",
            "callfsm_datagrams_malformed_total 1.0",
        ):
            assert any(shown.startswith(line) for shown in lines), line
        assert house.count("audio_seconds_total") == pytest.approx(2.1)
        waits = house.count("inference_wait_seconds_count")
        assert waits == house.count("inference_seconds_count") >= 1
        assert house.count("inference_wait_max_seconds") > 0
        house.server.switchboard.recent[-1].tell(Bye())
        assert house.count("dead_letters_total", machine="call") >= 1


def test_metrics_count_the_guards(tmp_path: Path) -> None:
    """What the engine kept from a call is counted by the guard that did it."""
    dropped = Transcript((), 0.1, ("token_cap", "retried", "too_fast", "dropped"))
    with serving(
        tmp_path, make_engine=lambda: ScriptedEngine([dropped]), contexts=1, http_port=0
    ) as house:
        house.caller(7, speech(7, 8)).run()
        eventually(lambda: house.state(7) == "", "end of the call")
        _, body = get(house, "/metrics")
        for guard in dropped.guards:
            assert f'callfsm_guards_total{{guard="{guard}"}} 1.0' in body.decode()


def test_calls_that_nobody_answered_are_no_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While they are tried they are not counted, and afterwards they take no real call's place."""
    monkeypatch.setattr(switchboard, "RECENT_CALLS", 1)
    with serving(tmp_path, http_port=0) as house, house.peer(9) as peer:
        house.caller(7, speech(7, 5)).run()
        house.expect(7, said(7, 5))
        peer.datagram(b"REGISTER:8")
        eventually(lambda: house.count("notes_total", what="connect_failed") == 1, "no answer")
        assert house.state(8) == "registered"
        assert house.count("calls_active") == 0
        peer.datagram(b"BYE:8")
        eventually(lambda: house.count("calls_total", end="never connected") == 1, "its end")
        assert [(call["call_id"], call["state"]) for call in calls(house)] == [(7, "closed")]
        peer.begin()
        eventually(lambda: house.state(9) == "buffering", "connection")
        assert house.count("calls_active") == 1


def test_a_call_that_a_fault_of_ours_ended_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its machine stays in the state in which it was: what is shown is that the call is over."""
    with serving(tmp_path, http_port=0) as house, house.peer(7) as peer:
        peer.begin()
        peer.send_audio(speech(7, 30), 320)
        eventually(lambda: calls(house)[0]["tentative"] != "", "words held back")
        monkeypatch.setattr(WindowBuffer, "append", lambda *_: 1 / 0)
        peer.send_audio(speech(7, 1, 30), 320)
        eventually(lambda: house.count("calls_crashed_total") == 1, "the fault")
        [over] = calls(house)
        assert (over["state"], over["tentative"]) == ("closed", "")


def test_other_paths_and_nonsense_are_answered_and_harmless(tmp_path: Path) -> None:
    """404 for what is not there, 400 for what is no HTTP; a silent client holds up nobody."""
    with (
        serving(tmp_path, http_port=0) as house,
        socket.create_connection(("127.0.0.1", house.http_port)),
    ):
        assert get(house, "/nothing")[0] == "HTTP/1.1 404 Not Found"
        assert "400" in answered(house, b"\x00\xff\r\n\r\n")[0]
        house.caller(7, speech(7, 5)).run()
        house.expect(7, said(7, 5))


def test_clients_wait_for_a_connection_when_there_are_many(tmp_path: Path) -> None:
    """Those who connect and say nothing take no more files than are meant for them."""
    with serving(tmp_path, http_port=0) as house, ExitStack() as silent:
        address = ("127.0.0.1", house.http_port)
        first, *_ = [
            silent.enter_context(socket.create_connection(address)) for _ in range(MOST_CONNECTIONS)
        ]
        asked = gevent.spawn(get, house, "/calls")
        house.caller(7, speech(7, 5)).run()
        house.expect(7, said(7, 5))
        assert not asked.ready()
        first.close()
        assert asked.get(timeout=5.0)[0] == "HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /ca",
        b"GET /calls HTTP/1.1\r\nHost: loc",
        b"GET /calls HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /calls HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf",
        b"GET /call.svg HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000,  # and reads no answer
    ],
)
def test_a_client_that_is_gone_keeps_no_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], sent: bytes
) -> None:
    """Wherever it fell silent, the next one has its place, and nobody is told."""
    monkeypatch.setattr(web, "MOST_CONNECTIONS", 1)
    monkeypatch.setattr(web, "QUIET_S", 0.05)
    with (
        serving(tmp_path, http_port=0) as house,
        socket.create_connection(("127.0.0.1", house.http_port)) as gone,
    ):
        gone.sendall(sent)
        assert get(house, "/calls")[0] == "HTTP/1.1 200 OK"
        assert capfd.readouterr().err == ""


def asked_as(house: House, host: str) -> str:
    """The status line of the answer to who asks for this host."""
    return answered(house, f"GET /calls HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())[0]


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8080", "[::1]:8080", "10.0.0.5", "localhost", "LocalHost:80", "a.localhost"],
)
def test_whoever_asks_by_address_or_as_localhost_is_answered(tmp_path: Path, host: str) -> None:
    """Nobody can point these to our address."""
    with serving(tmp_path, http_port=0) as house:
        assert asked_as(house, host) == "HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "notlocalhost", "[evil", ""],
)
@pytest.mark.parametrize("path", ["/", "/calls", "/metrics"])
def test_a_page_that_points_its_own_name_to_us_reads_nothing(
    tmp_path: Path, host: str, path: str
) -> None:
    """In a browser of this machine it could else read what callers say."""
    with serving(tmp_path, http_port=0) as house:
        request = f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode()
        assert answered(house, request) == ("HTTP/1.1 403 Forbidden", web.FOREIGN_NAME)


def test_the_configured_host_is_a_name_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator has named a host that is a loopback address here."""
    with serving(tmp_path, http_port=0) as house:
        monkeypatch.setattr(house.server._web, "_host", "switch.example")
        assert asked_as(house, "Switch.example:8080") == "HTTP/1.1 200 OK"


def test_a_server_that_others_may_ask_has_any_name(tmp_path: Path) -> None:
    """It does not listen on a loopback address: its names are not known here."""
    with serving(tmp_path, http_port=0, host="0.0.0.0") as house:
        assert asked_as(house, "switch.example") == "HTTP/1.1 200 OK"


def test_without_a_port_there_is_no_web_server(tmp_path: Path) -> None:
    """Nothing listens that nobody asked for."""
    with serving(tmp_path) as house:
        assert house.http_port is None


def test_the_calls_are_shown_until_the_last_one_has_drained(tmp_path: Path) -> None:
    """While the server stops, an operator can still see what it waits for."""
    with serving(tmp_path, http_port=0) as house, house.peer(7) as peer:
        house.script.hold()
        peer.begin()
        peer.send_audio(speech(7, 8), 16_000)
        eventually(lambda: house.state(7) == "inferring", "inferring")
        stopping = gevent.spawn(house.server.stop)
        eventually(lambda: house.server.switchboard.sessions[7].call.draining, "draining")
        assert [call["state"] for call in calls(house)] == ["inferring"]
        house.script.let_all()
        stopping.get(timeout=5.0)
