"""The client on gevent: its effects become bytes of a socket, and what comes back events."""

from collections.abc import Callable

import gevent
from gevent import socket
from gevent.queue import Queue

from callfsm.fsm import Actor, Effect, Observer
from callfsm.runtimes.gevent import GeventRuntime
from examples.reconnecting_client.client import (
    Answer,
    Client,
    Connect,
    Connected,
    Disconnect,
    Lost,
    Received,
    Request,
    Send,
)
from examples.reconnecting_client.table import client_machine


class Line:
    """One client of the server at `address`, and its connection, when there is one."""

    def __init__(
        self,
        address: tuple[str, int],
        runtime: GeventRuntime,
        answered: Callable[[Answer], None],
        observer: Observer,
    ) -> None:
        self._address = address
        self._answered = answered
        self._outgoing: Queue[str] = Queue()
        self._connection: gevent.Greenlet[..., None] | None = None
        self.client = Actor(
            "client",
            client_machine,
            Client(),
            runtime=runtime,
            perform=self._perform,
            crashed=print,
            observers=(observer,),
        )
        self.client.start()

    def request(self, line: str) -> bool:
        """Ask the server. False when too many requests wait: this one is forgotten, and whoever
        asks may try again later. So there is room for what the client is told of its connection."""
        return self.client.offer(Request(line))

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Connect():
                self._outgoing = Queue()
                self._connection = gevent.spawn(self._run)
            case Send(line):
                self._outgoing.put(line)
            case Disconnect():
                if self._connection is not None:
                    self._connection.kill(block=False)
            case Answer():
                self._answered(effect)

    def _run(self) -> None:
        """Connect and read until the connection ends, or until killed."""
        try:
            with socket.create_connection(self._address) as connection:
                self.client.tell(Connected())
                writer = gevent.spawn(self._write, connection)
                try:
                    with connection.makefile() as lines:
                        for line in lines:
                            self.client.tell(Received(line.rstrip("\n")))
                            gevent.sleep(0)  # one at a time, however many came at once
                finally:
                    writer.kill()
        except OSError as error:
            print(f"  ({error})")
        self.client.tell(Lost())

    def _write(self, connection: socket.socket) -> None:
        outgoing = self._outgoing
        try:
            while True:
                connection.sendall(f"{outgoing.get()}\n".encode())
        except OSError:
            return  # whoever reads from the connection learns of it too
