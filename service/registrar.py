"""UDP registration: one greenlet, one socket, datagrams in the order they came."""

import errno
import logging
from collections.abc import Callable

import gevent
from gevent import socket

from callfsm.errors import ConfigError, ProtocolError
from callfsm.runtimes.gevent import let_hub_look
from service.metrics import Metrics
from service.wire import Bye, Register, parse_datagram

log = logging.getLogger(__name__)

MAX_DATAGRAM_BYTES = 2048
LOGGED_HOSTS = 64  # whose first malformed datagram is logged; then only counted


def is_listening(address: tuple[str, int]) -> bool:
    """Whether another process, or another server of this one, listens there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(address)
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


class Registrar:
    """Listens for REGISTER and BYE. Binds at once, so that a taken port fails the start.

    Raises ConfigError when the address cannot be bound.
    """

    def __init__(
        self,
        address: tuple[str, int],
        audio_base_port: int,
        hear: Callable[[Register | Bye], None],
        metrics: Metrics,
    ) -> None:
        self._audio_base_port = audio_base_port
        self._hear = hear
        self._metrics = metrics
        self._complained_about: set[str] = set()
        self._listener: gevent.Greenlet[[], None] | None = None
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind(address)
        except OSError as error:
            self._socket.close()
            raise ConfigError(
                f"cannot listen on UDP {address[0]}:{address[1]}: {error.strerror}"
            ) from error

    @property
    def port(self) -> int:
        """The bound port, also when 0 was asked for."""
        port: int = self._socket.getsockname()[1]
        return port

    def start(self) -> None:
        self._listener = gevent.spawn(self._listen)

    def stop(self) -> None:
        if self._listener is not None:
            self._listener.kill()
        self._socket.close()

    def _listen(self) -> None:
        while True:
            let_hub_look()  # a flood must not keep it
            try:
                data, source = self._socket.recvfrom(MAX_DATAGRAM_BYTES)
            except OSError as error:  # an ICMP error of some earlier peer
                log.warning("UDP: %s", error)
                continue
            try:
                message = parse_datagram(data, self._audio_base_port)
            except ProtocolError as error:
                self._complain(source, error)
                continue
            try:
                self._hear(message)
            except Exception:  # a fault of ours in one call is none of the others
                log.exception("%s could not be handled", message)

    def _complain(self, source: tuple[str, int], error: ProtocolError) -> None:
        self._metrics.datagrams_malformed.inc()
        host, _ = source
        if host not in self._complained_about and len(self._complained_about) < LOGGED_HOSTS:
            self._complained_about.add(host)
            log.warning("from %s:%d: %s; more from there is only counted", *source, error)
