"""An audio processor written from PROTOCOL.md alone: it shares no line with the server's own wire.

Unlike `service.peers.caller` it says exactly the bytes a test wants, in the order a test wants.
"""

import struct
from collections.abc import Sequence

import gevent
import numpy as np
from gevent import socket
from numpy.typing import NDArray

PATIENCE_S = 10.0


class RawPeer:
    """One call's audio port, on loopback; `texts` and `ended` are what the service wrote."""

    def __init__(self, call_id: int, audio_base_port: int, udp_port: int) -> None:
        self.call_id = call_id
        self.texts: list[str] = []
        self.ended = False
        self._registration = ("127.0.0.1", udp_port)
        self._datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", audio_base_port + call_id))
        self._listener.listen(8)
        self._listener.settimeout(PATIENCE_S)
        self.connection: socket.socket | None = None

    def __enter__(self) -> "RawPeer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._listener.close()
        self._datagrams.close()

    def datagram(self, data: bytes) -> None:
        self._datagrams.sendto(data, self._registration)

    def register(self) -> None:
        self.datagram(f"REGISTER:{self.call_id}".encode())

    def bye(self) -> None:
        self.datagram(f"BYE:{self.call_id}".encode())

    def accept(self) -> None:
        """Wait for the service."""
        self.connection, _ = self._listener.accept()
        self.connection.settimeout(PATIENCE_S)
        # What the service does not read soon holds up the sender, not megabytes later.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32_000)

    def begin(self) -> None:
        """Register, be connected to, and say HELLO."""
        self.register()
        self.accept()
        self.send(self.framed(str(self.call_id).encode()))

    def has_a_caller(self) -> bool:
        """Whether the service connects (once more) within a moment."""
        self._listener.settimeout(0.1)
        try:
            self._listener.accept()[0].close()
        except TimeoutError:
            return False
        finally:
            self._listener.settimeout(PATIENCE_S)
        return True

    def send(self, data: bytes) -> None:
        assert self.connection is not None
        self.connection.sendall(data)

    def send_audio(self, samples: NDArray[np.float32], samples_per_chunk: int) -> None:
        for at in range(0, len(samples), samples_per_chunk):
            chunk: Sequence[float] = samples[at : at + samples_per_chunk].tolist()
            self.send(self.framed(struct.pack(f"<{len(chunk)}f", *chunk)))

    def send_end(self, mark: int = 0xFFFFFFFF) -> None:
        self.send(struct.pack(">I", mark))

    def shut(self) -> None:
        """End our direction, as a peer does that just closes."""
        assert self.connection is not None
        self.connection.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Break the connection with a TCP RST."""
        assert self.connection is not None
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close()

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def listen(self, texts: int | None = None) -> None:
        """Read so many texts, or until the service says that it ends, or hangs up."""
        while len(self.texts) != texts and (head := self._exactly(4)) is not None:
            (length,) = struct.unpack(">I", head)
            if length == 0xFFFFFFFF:
                self.ended = True
                return
            text = self._exactly(length)
            assert text is not None, "the service hung up inside a text"
            self.texts.append(text.decode("utf-8"))

    @staticmethod
    def framed(payload: bytes) -> bytes:
        return struct.pack(">I", len(payload)) + payload

    def _exactly(self, size: int) -> bytes | None:
        assert self.connection is not None
        data = b""
        with gevent.Timeout(PATIENCE_S):
            while len(data) < size:
                more = self.connection.recv(size - len(data))
                if not more:
                    assert not data, "the service hung up inside a message"
                    return None
                data += more
        return data
