"""The telephone side of one call: an inbound audio processor that plays samples over the protocol.

For demonstrations, benchmarks and tests. One `Caller` is one call, `run` in one greenlet; any
number of them run side by side.
"""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import gevent
from gevent import socket

from callfsm.audio import SAMPLE_RATE_HZ
from callfsm.errors import CallfsmError, ProtocolError
from service import wire
from service.peers.chunking import Style, cut
from service.wire import Samples, Text, TextDecoder

_RECEIVE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class CallerSettings:
    """How an audio processor behaves; the defaults are those of the ones in the field."""

    host: str = "127.0.0.1"
    registration_port: int = wire.REGISTRATION_PORT
    audio_base_port: int = wire.AUDIO_BASE_PORT
    style: Style = "frames"
    realtime: bool = True  # a piece leaves when its last sample was spoken; else as fast as it goes
    bye_first: bool = True  # the UDP BYE leaves before the TCP end of stream, else after it
    end_mark: bytes = wire.END_OF_STREAM  # or wire.END_OF_STREAM_IN_THE_FIELD
    connect_timeout_s: float = 30.0  # how long REGISTER is repeated
    linger_s: float = 30.0  # how long the last texts are waited for, once the audio ended


@dataclass(frozen=True, slots=True)
class ReturnedText:
    """A transcription that the service wrote back, `at_s` seconds after sample 0 was spoken."""

    text: str
    at_s: float


@dataclass(frozen=True, slots=True)
class CallReport:
    """What became of a call. Times are seconds; `None` where the call did not get that far."""

    call_id: int
    connected_after_s: float | None  # from the first REGISTER
    spoken_from_s: float | None  # when sample 0 was spoken, on `time.monotonic`
    seconds_sent: float  # of audio
    worst_lag_s: float  # longest that a piece was taken by the socket after it was due
    texts: tuple[ReturnedText, ...]


class CallFailedError(CallfsmError):
    """A call did not go through; `report` says how far it got."""

    def __init__(self, sentence: str, report: CallReport) -> None:
        super().__init__(sentence)
        self.report = report


class Caller:
    """One call: `samples` (float32 mono, shape (n,), -1..1, at 16 kHz) spoken as `call_id`.

    `on_progress` is told the seconds of the call that have passed, after each piece. `now` and
    `sleep` set the pace of the audio (seconds); a test hands in its own.
    """

    def __init__(
        self,
        call_id: int,
        samples: Samples,
        settings: CallerSettings | None = None,
        *,
        on_progress: Callable[[float], None] = lambda seconds: None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = gevent.sleep,
    ) -> None:
        self._call_id = call_id
        self._samples = samples
        self._settings = settings or CallerSettings()
        self._on_progress = on_progress
        self._now = now
        self._sleep = sleep
        self._connected_after_s: float | None = None
        self._spoken_from_s: float | None = None
        self._samples_sent = 0
        self._worst_lag_s = 0.0
        self._texts: list[ReturnedText] = []

    def run(self) -> CallReport:
        """Place the call, speak, hang up, and wait for the last texts.

        Raises CallFailedError when the port is taken, no service connects in time, or the service
        breaks the connection or the protocol.
        """
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            with self._listener() as listener:
                connection = self._await_service(listener, datagrams)
            with connection:
                self._converse(connection, datagrams)
        return self._report()

    def _listener(self) -> socket.socket:
        address = (self._settings.host, self._settings.audio_base_port + self._call_id)
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(1)
        except (OSError, OverflowError) as error:
            listener.close()
            raise self._failed(f"cannot listen on {address[0]}:{address[1]}: {error}") from error
        return listener

    def _await_service(self, listener: socket.socket, datagrams: socket.socket) -> socket.socket:
        """Repeat REGISTER until the service connects; the listener takes no second connection."""
        port = self._settings.registration_port
        began_s = time.monotonic()
        for interval_s in register_intervals_s():
            self._send_datagram(datagrams, wire.register_datagram(self._call_id))
            left_s = began_s + self._settings.connect_timeout_s - time.monotonic()
            if left_s <= 0:
                break
            listener.settimeout(min(interval_s, left_s))
            with contextlib.suppress(TimeoutError):
                connection, _ = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._connected_after_s = time.monotonic() - began_s
                return connection
        raise self._failed(
            f"got no connection within {self._settings.connect_timeout_s:g} s "
            f"of the first REGISTER to UDP port {port}"
        )

    def _converse(self, connection: socket.socket, datagrams: socket.socket) -> None:
        reader = gevent.spawn(self._collect_texts, connection)
        try:
            self._speak(connection)
            self._hang_up(connection, datagrams)
            reader.join(self._settings.linger_s)
        except OSError as error:
            length_s = len(self._samples) / SAMPLE_RATE_HZ
            raise self._failed(
                f"lost its connection after {self._seconds_sent:.1f} s of {length_s:.1f} s: {error}"
            ) from error
        finally:
            reader.kill()
        if isinstance(reader.value, ProtocolError):
            raise self._failed(f"was answered with a broken stream: {reader.value}")

    def _speak(self, connection: socket.socket) -> None:
        connection.sendall(wire.hello(self._call_id))
        self._spoken_from_s = self._now()
        for piece in cut(self._samples, self._settings.style):
            spoken_s = piece.end / SAMPLE_RATE_HZ
            due_s = self._spoken_from_s + spoken_s if self._settings.realtime else self._now()
            self._sleep(max(0.0, due_s - self._now()))
            connection.sendall(wire.encode_audio(self._samples[piece.begin : piece.end]))
            self._samples_sent += piece.end - piece.begin
            self._worst_lag_s = max(self._worst_lag_s, self._now() - due_s)
            self._on_progress(spoken_s)
        if self._settings.realtime:
            end_s = self._spoken_from_s + len(self._samples) / SAMPLE_RATE_HZ
            self._sleep(max(0.0, end_s - self._now()))

    def _hang_up(self, connection: socket.socket, datagrams: socket.socket) -> None:
        bye = wire.bye_datagram(self._call_id)
        if self._settings.bye_first:
            self._send_datagram(datagrams, bye)
        connection.sendall(self._settings.end_mark)
        if not self._settings.bye_first:
            self._send_datagram(datagrams, bye)

    def _collect_texts(self, connection: socket.socket) -> ProtocolError | None:
        """Read until the service ends; a lost connection is the sending side's to report."""
        decoder = TextDecoder(expects_hello=False)
        with contextlib.suppress(OSError):
            try:
                while not decoder.ended and (data := connection.recv(_RECEIVE_BYTES)):
                    at_s = self._now() - (self._spoken_from_s or self._now())
                    texts = (event for event in decoder.feed(data) if isinstance(event, Text))
                    self._texts.extend(ReturnedText(event.text, at_s) for event in texts)
                decoder.eof()
            except ProtocolError as error:
                return error
        return None

    def _send_datagram(self, datagrams: socket.socket, datagram: bytes) -> None:
        datagrams.sendto(datagram, (self._settings.host, self._settings.registration_port))

    @property
    def _seconds_sent(self) -> float:
        return self._samples_sent / SAMPLE_RATE_HZ

    def _report(self) -> CallReport:
        return CallReport(
            call_id=self._call_id,
            connected_after_s=self._connected_after_s,
            spoken_from_s=self._spoken_from_s,
            seconds_sent=self._seconds_sent,
            worst_lag_s=self._worst_lag_s,
            texts=tuple(self._texts),
        )

    def _failed(self, sentence: str) -> CallFailedError:
        return CallFailedError(f"call {self._call_id} {sentence}", self._report())


def register_intervals_s() -> Iterator[float]:
    """Seconds between one REGISTER and the next: 200 ms for the first second, then 1 s."""
    return itertools.chain(itertools.repeat(0.2, 5), itertools.repeat(1.0))
