"""TCP connections by address and by name, and how their failures are told."""

import errno
import logging
import socket as native

import pytest
from gevent import socket

from service import connect
from service.connect import connected, level_of


@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_an_address_in_figures_asks_no_name_server(
    monkeypatch: pytest.MonkeyPatch, family: int, host: str
) -> None:
    """Of either family; a name server that does not answer keeps nobody waiting."""

    def nobody_answers(*_: object, **__: object) -> None:
        raise AssertionError("a name was looked up")

    with socket.socket(family, socket.SOCK_STREAM) as listener:
        try:
            listener.bind((host, 0))
        except OSError:
            pytest.skip(f"this machine has no {host}")
        listener.listen()
        monkeypatch.setattr(connect.socket, "getaddrinfo", nobody_answers)
        with connected((host, listener.getsockname()[1]), 5.0) as connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, native.TCP_NODELAY)


def test_a_name_is_looked_up() -> None:
    """ "localhost" is as good as its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        connected(("localhost", listener.getsockname()[1]), 5.0).close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_port_is_not_connected_to_itself(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Nobody listens at the port, and the kernel gives us that very port for our own end."""

    class FromThatPort(socket.socket):
        def connect(self, address: tuple[str, int]) -> None:
            self.bind(address)
            super().connect(address)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(socket, "socket", FromThatPort)
    with pytest.raises(ConnectionRefusedError) as refused:
        connected((host, port), 5.0)
    assert refused.value.errno == errno.ECONNREFUSED


def test_want_of_open_files_is_an_error() -> None:
    """That a peer is not there yet is none."""
    assert level_of(OSError(errno.EMFILE, "Too many open files")) == logging.ERROR
    assert level_of(ConnectionRefusedError(errno.ECONNREFUSED, "refused")) == logging.DEBUG
