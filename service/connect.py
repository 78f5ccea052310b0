"""TCP connections to the telephone side and the language model."""

import errno
import logging
from ipaddress import ip_address

from gevent import socket

NO_MORE_FILES = {errno.EMFILE, errno.ENFILE}


def connected(address: tuple[str, int], timeout_s: float) -> socket.socket:
    """A connection to (host, port), whose writes wait for nothing. Raises OSError.

    An address in figures is connected to as it is: gevent has ten threads to look names up, and
    behind a name server that does not answer all calls would wait.

    A port of this machine that nobody listens on refuses us, even where the kernel has given us
    that very port for our own end: TCP then connects the socket to itself.
    """
    host, port = address
    try:
        family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
    except ValueError:
        connection = socket.create_connection(address, timeout_s)
    else:
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.settimeout(timeout_s)
        try:
            connection.connect((host, port))
        except BaseException:
            connection.close()
            raise
    try:
        if connection.getsockname() == connection.getpeername():
            raise ConnectionRefusedError(errno.ECONNREFUSED, "nobody listens at our own port")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError:
        connection.close()
        raise
    return connection


def level_of(error: OSError) -> int:
    """How to log that a connection could not be made: a peer that is not there yet is no news."""
    return logging.ERROR if error.errno in NO_MORE_FILES else logging.DEBUG
