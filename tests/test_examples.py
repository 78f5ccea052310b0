"""The examples' programs run, on gevent and on real sockets."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from gevent import socket
from gevent.queue import Queue
from gevent.server import StreamServer

from callfsm.fsm.actor import MAILBOX_CAPACITY
from callfsm.runtimes.gevent import GeventRuntime
from examples.reconnecting_client.__main__ import LOOPBACK, serve
from examples.reconnecting_client.client import Answer
from examples.reconnecting_client.line import Line

ROOT = Path(__file__).parents[1]
FAILS_AFTER_S = 20.0  # only a test that fails waits so long


def run(*words: str, typed: str = "") -> list[str]:
    """The lines that an example's program prints; it must succeed."""
    command = [sys.executable, "-m", *words]
    result = subprocess.run(
        command, cwd=ROOT, input=typed, capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stderr == ""
    return result.stdout.splitlines()


def test_phone_menu_by_keyboard() -> None:
    """Keys are typed, and the end of the input hangs up."""
    assert run("examples.phone_menu", typed="9\n1 answer\n") == [
        '  "Press 1 for sales, 2 for support."',
        "> 9",
        '  "Sorry, I did not get that."',
        '  "Press 1 for sales, 2 for support."',
        "> 1",
        "  sales rings",
        "> answer",
        "  talking to sales",
    ]
    assert run("examples.phone_menu", typed="")[1:] == []


def test_phone_menu_by_script() -> None:
    """A scripted caller who stops hangs up."""
    assert run("examples.phone_menu", "1")[-1] == "  sales rings"


def test_reconnecting_client() -> None:
    """Every request is answered, in order, across a server that was away."""
    lines = run("examples.reconnecting_client")
    assert [line for line in lines if not line.startswith("  ")] == [
        "ONE",
        "the server goes away",
        "the server comes back",
        "TWO THREE FOUR",
    ]
    assert lines.count("  connecting + Lost -> backing_off") >= 2
    assert lines[-1].endswith("+ Close -> closed")


# ------------------------------------------------ the reconnecting client in a flood
@pytest.fixture
def runtime() -> Iterator[GeventRuntime]:
    running = GeventRuntime()
    running.start()
    with gevent.Timeout(FAILS_AFTER_S):
        yield running
    running.stop()


def a_line(port: int, runtime: GeventRuntime) -> tuple[Line, Queue[Answer]]:
    """A client of the server at this port, and the answers that it got."""
    answers: Queue[Answer] = Queue()
    return Line((LOOPBACK, port), runtime, answers.put, lambda *_: None), answers


def test_requests_do_not_keep_the_client_from_its_connection(runtime: GeventRuntime) -> None:
    """While there is no server those that a mailbox holds are taken; all these are answered."""
    server, port = serve()
    server.stop(0)
    line, answers = a_line(port, runtime)
    requests = [f"request {number}" for number in range(MAILBOX_CAPACITY + 100)]
    taken = [request for request in requests if line.request(request)]
    assert taken == requests[:MAILBOX_CAPACITY]
    gevent.sleep(0.02)  # all are postponed
    server, _ = serve(port)
    assert [answers.get().request for _ in taken] == taken
    line.client.stop()
    server.stop(0)


def test_many_answers_at_once_are_taken_one_by_one(runtime: GeventRuntime) -> None:
    """More lines in one packet than a mailbox holds: none is lost, and the connection lasts."""
    count = 2 * MAILBOX_CAPACITY

    def answer_all(connection: socket.socket, _: object) -> None:
        with connection, connection.makefile() as lines:
            for _ in range(count):
                lines.readline()
            connection.sendall(b"x\n" * count)
            lines.readline()

    server = StreamServer((LOOPBACK, 0), answer_all)
    server.start()
    line, answers = a_line(server.server_port, runtime)
    for number in range(count):
        while not line.request(str(number)):
            gevent.sleep(0.001)
    found = [answers.get().request for _ in range(count)]
    assert found == [str(number) for number in range(count)]
    assert line.client.model.state == "connected"
    line.client.stop()
    server.stop(0)
