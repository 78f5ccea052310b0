"""A stand-in for the LLaMA service: takes the texts of every call and keeps them in order.

For demonstrations, benchmarks and tests. Like the real one it rejects a second connection for a
call id that is still connected.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from gevent import socket
from gevent.pool import Pool
from gevent.server import StreamServer

from callfsm.errors import ConfigError, ProtocolError
from service.wire import LLAMA_PORT, Hello, Text, TextDecoder

_log = logging.getLogger(__name__)
_RECEIVE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Message:
    """One text of a call and when it arrived, on `time.monotonic`."""

    call_id: int
    text: str
    at_monotonic_s: float


class Sink:
    """A TCP server on `host`:`port` (0: any free port, see `port` once started).

    `messages` holds every text since it was made, in order of arrival, and `on_message` is called
    with each. `faults` holds a sentence per connection that was rejected or broke the protocol.
    `connected` holds the ids of the calls that are connected now.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = LLAMA_PORT,
        on_message: Callable[[Message], None] = lambda message: None,
    ) -> None:
        self.host = host
        self.port = port
        self.messages: list[Message] = []
        self.faults: list[str] = []
        self.connected: set[int] = set()
        self._on_message = on_message
        self._server: StreamServer | None = None

    def start(self) -> None:
        """Listen. Raises ConfigError when the port cannot be had."""
        server = StreamServer((self.host, self.port), self._serve, spawn=Pool())
        try:
            server.start()
        except (OSError, OverflowError) as error:
            raise ConfigError(f"no sink can listen on {self.host}:{self.port}: {error}") from error
        self._server = server
        self.port = server.server_port or self.port

    def stop(self) -> None:
        """Close the port and every connection; it can be started again on the same port."""
        if self._server is not None:
            self._server.stop(timeout=0)
            self._server = None

    def texts(self, call_id: int) -> list[str]:
        """The texts of one call, in order of arrival."""
        return [message.text for message in self.messages if message.call_id == call_id]

    def _serve(self, connection: socket.socket, address: object) -> None:
        decoder = TextDecoder()
        call_id: int | None = None
        try:
            while not decoder.ended and (data := connection.recv(_RECEIVE_BYTES)):
                for event in decoder.feed(data):
                    if isinstance(event, Hello):
                        call_id = self._admit(event)
                    elif isinstance(event, Text) and call_id is not None:
                        self._keep(Message(call_id, event.text, time.monotonic()))
            decoder.eof()
        except ProtocolError as error:
            self._fault(f"call {call_id or 'unknown'} from {address}: {error}")
        except OSError as error:
            _log.info("call %s from %s: connection lost: %s", call_id, address, error)
        finally:
            if call_id is not None:
                self.connected.discard(call_id)

    def _admit(self, hello: Hello) -> int:
        text = hello.call_id_text
        if not (text.isascii() and text.isdigit()):
            raise ProtocolError(f"the call id {text[:40]!r} of its HELLO is no decimal integer")
        call_id = int(text)
        if call_id in self.connected:
            raise ProtocolError(f"rejected, because call {call_id} is still connected")
        self.connected.add(call_id)
        return call_id

    def _keep(self, message: Message) -> None:
        self.messages.append(message)
        self._on_message(message)

    def _fault(self, sentence: str) -> None:
        self.faults.append(sentence)
        _log.warning(sentence)
