"""Carry out what a link asks for: one TCP connection to the language model per call id."""

import logging
from collections.abc import Iterable
from typing import Any

import gevent
from gevent import socket
from gevent.event import Event as Signal

from callfsm.fsm.actor import Actor, Runtime
from callfsm.fsm.table import Effect, Event
from callfsm.link import events as ev
from callfsm.link.link import Link
from callfsm.link.table import link_machine
from service.connect import connected, level_of
from service.metrics import Metrics
from service.wire import END_OF_STREAM, encode, hello

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 2.0
WRITE_TIMEOUT_S = 10.0  # a peer that takes no byte for so long counts as gone
READ_BYTES = 65_536
READ = 1  # of libev's events


class LlamaLink:
    """The link of one call id: `deliver` never blocks and never loses."""

    def __init__(
        self, call_id: int, address: tuple[str, int], runtime: Runtime, metrics: Metrics
    ) -> None:
        self._call_id = call_id
        self._address = address
        self._metrics = metrics
        self._connection: _Connection | None = None
        self._actor = Actor(
            f"link {call_id}",
            link_machine,
            Link(call_id),
            runtime=runtime,
            perform=self._perform,
            crashed=self._crashed,
        )
        self._is_closed = Signal()
        self._actor.start()

    @property
    def state(self) -> str:
        return self._actor.model.state

    @property
    def waiting(self) -> int:
        """Texts that the peer has not taken yet."""
        return len(self._actor.model.queue) + self._actor.waiting

    @property
    def is_resting(self) -> bool:
        """Neither connected nor about to be, and no text waits."""
        return self.state == "disconnected" and not self.waiting

    @property
    def closed(self) -> bool:
        return self._actor.stopped

    def open(self) -> None:
        """A call is on."""
        self._actor.tell(ev.Open())

    def call_ended(self) -> None:
        """The call is over; the connection is kept for the next one, for a while."""
        self._actor.tell(ev.CallEnded())

    def deliver(self, text: str) -> None:
        self._actor.tell(ev.Deliver(text))

    def close(self) -> None:
        """Deliver what waits, say BYE, and be `closed`."""
        self._actor.tell(ev.Close())

    def wait_closed(self, timeout_s: float) -> bool:
        """Wait after `close`; False on time-out."""
        return bool(self._is_closed.wait(timeout_s))

    def _perform(self, effect: Effect) -> None:
        match effect:
            case ev.Connect():
                self._connection = _Connection(self._call_id, self._address, self._actor)
            case ev.Write(text) if self._connection is not None:
                self._connection.write(text)
            case ev.Disconnect(bye) if self._connection is not None:
                self._connection.close(bye)
                self._connection = None
            case ev.Unreachable(waiting):
                log.warning(
                    "call %d: LLaMA at %s:%d cannot be reached; %d texts wait for it",
                    self._call_id,
                    *self._address,
                    waiting,
                )
            case ev.Undelivered(texts):
                self._report_undelivered(texts)
            case ev.LinkClosed():
                self._is_closed.set()

    def _report_undelivered(self, texts: Iterable[str]) -> None:
        for text in texts:
            self._metrics.texts_undelivered.inc()
            log.error("call %d: not delivered to LLaMA: %s", self._call_id, text)

    def _crashed(self, error: Exception) -> None:
        log.error("call %d: the link to LLaMA failed", self._call_id, exc_info=error)
        self._report_undelivered(self._actor.model.queue)
        self._is_closed.set()
        if self._connection is not None:
            self._connection.close(bye=False)


class _Connection:
    """One attempt at a connection, and what comes of it. Silent once it is closed."""

    def __init__(self, call_id: int, address: tuple[str, int], actor: Actor[Link]) -> None:
        self._call_id = call_id
        self._actor = actor
        self._open = True
        self._socket: socket.socket | None = None
        self._readable: Any = None  # libev's watcher of the socket
        gevent.spawn(self._connect, address)

    def write(self, text: str) -> None:
        gevent.spawn(self._write, encode(text.encode()))

    def close(self, bye: bool) -> None:
        self._open = False
        self._watch_no_more()
        if self._socket is not None:
            gevent.spawn(self._hang_up, self._socket, bye)

    def _connect(self, address: tuple[str, int]) -> None:
        """Connect, greet, then watch for the peer's end, so that it is noticed at once."""
        try:
            connection = connected(address, CONNECT_TIMEOUT_S)
        except OSError as error:
            log.log(level_of(error), "call %d: LLaMA: %s", self._call_id, error)
            self._tell(ev.ConnectFailed())
            return
        if not self._open:
            connection.close()
            return
        self._socket = connection
        try:
            connection.settimeout(WRITE_TIMEOUT_S)
            connection.sendall(hello(self._call_id))
        except OSError as error:
            log.debug("call %d: LLaMA refused HELLO: %s", self._call_id, error)
            self._tell(ev.ConnectFailed())
            return
        self._tell(ev.Connected())
        self._readable = gevent.get_hub().loop.io(connection.fileno(), READ)
        self._readable.start(self._drain, connection)

    def _drain(self, connection: socket.socket) -> None:
        """Drop what the peer says, or learn that it has ended.

        The hub calls this when there is something: a greenlet that waits for it takes 6 KB a call.
        """
        if self._has_ended(connection):
            self._tell(ev.Lost())

    def _has_ended(self, connection: socket.socket) -> bool:
        """Whether the peer hung up, after what it said last. Never waits."""
        connection.settimeout(0)
        try:
            return not (connection.recv(READ_BYTES) and connection.recv(READ_BYTES))
        except BlockingIOError:
            return False
        except OSError as error:
            log.debug("call %d: LLaMA: %s", self._call_id, error)
            return True
        finally:
            connection.settimeout(WRITE_TIMEOUT_S)

    def _watch_no_more(self) -> None:
        if self._readable is not None:
            self._readable.close()
            self._readable = None

    def _write(self, message: bytes) -> None:
        if self._socket is None or not self._open:
            return
        if self._has_ended(self._socket):  # and the hub did not tell us yet
            self._tell(ev.Lost())
            return
        try:
            self._socket.sendall(message)
        except OSError as error:
            log.warning("call %d: LLaMA takes no text: %s", self._call_id, error)
            self._tell(ev.Lost())
        else:
            self._tell(ev.Written())

    def _tell(self, event: Event) -> None:
        is_over = isinstance(event, ev.Lost | ev.ConnectFailed)
        if is_over:
            self._watch_no_more()
        if self._open:
            self._open = not is_over
            self._actor.tell(event)

    @staticmethod
    def _hang_up(connection: socket.socket, bye: bool) -> None:
        try:
            if bye:
                connection.settimeout(1.0)
                connection.sendall(END_OF_STREAM)
        except OSError:
            pass
        connection.close()
