"""The client against a server on the loopback that goes away and comes back. On gevent.

python -m examples.reconnecting_client
"""

from typing import Any

import gevent
from gevent import socket
from gevent.event import Event as Signal
from gevent.pool import Pool
from gevent.queue import Queue
from gevent.server import StreamServer

from callfsm.fsm import Actor, Turn
from callfsm.runtimes.gevent import GeventRuntime
from examples.reconnecting_client.client import PING, PONG, Answer, Close
from examples.reconnecting_client.line import Line

LOOPBACK = "127.0.0.1"


def shout(connection: socket.socket, _: object) -> None:
    """The server: it answers a line with the same in capitals, and a ping with a pong."""
    with connection, connection.makefile() as lines:
        for line in lines:
            reply = f"{PONG}\n" if line.rstrip() == PING else line.upper()
            connection.sendall(reply.encode())


def serve(port: int = 0) -> tuple[StreamServer, int]:
    """A server that listens, and its port; 0 finds a free one. `stop(0)` cuts its connections."""
    server = StreamServer((LOOPBACK, port), shout, spawn=Pool())
    server.start()
    return server, server.socket.getsockname()[1]


def main() -> None:
    answers: Queue[Answer] = Queue()
    given_up = Signal()  # connecting has failed twice

    def observe(actor: Actor[Any], turn: Turn) -> None:
        for step in turn.steps:
            print(f"  {step}")
        if actor.model.failures == 3:
            given_up.set()

    runtime = GeventRuntime()
    runtime.start()
    server, port = serve()
    line = Line((LOOPBACK, port), runtime, answers.put, observe)

    def ask(request: str) -> None:
        if not line.request(request):
            print(f"too many requests wait: {request} is not sent")

    ask("one")
    print(answers.get().reply)
    print("the server goes away")
    server.stop(0)
    ask("two")
    ask("three")
    given_up.wait()
    ask("four")
    print("the server comes back")
    server, _ = serve(port)
    print(*(answers.get().reply for _ in range(3)))
    line.client.tell(Close())
    while not line.client.stopped:
        gevent.sleep(0)
    runtime.stop()
    server.stop(0)


if __name__ == "__main__":
    main()
