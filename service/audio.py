"""The audio connection of one call: the service is the client of the audio processor.

A reader greenlet turns bytes into events for the call's actor, beat by beat; a writer greenlet
echoes texts to the peer. Neither is there while it has nothing to do, and the reader not while the
call must wait: a greenlet takes 6 KB, and a call is allowed 100.
Peers that never read cost a bounded queue and nothing else.
"""

import logging
from collections.abc import Callable
from typing import Protocol

import gevent
import numpy as np
from gevent import socket

from callfsm.audio import SAMPLE_RATE_HZ
from callfsm.call import events as ev
from callfsm.call.events import EndReason
from callfsm.call.windows import SPEECH_CHUNK_S
from callfsm.errors import ProtocolError
from callfsm.fsm.table import Event
from callfsm.runtimes.gevent import let_hub_look
from service.beat import Beat
from service.connect import connected, level_of
from service.metrics import Metrics
from service.wire import (
    END_OF_STREAM,
    Audio,
    AudioDecoder,
    EndOfStream,
    Hello,
    Samples,
    encode,
)

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 2.0  # PROTOCOL.md 2.1
RARE = 3  # beats from read to read where nothing is urgent: three frames make one event
READ_BYTES = 4_096  # three frames of 20 ms, and what a call may hold twice
RECEIVED_BYTES = 65_536  # a second of audio: what the kernel holds of a call that must wait
ECHOES = 64  # texts that wait for a peer to read them
LAST_WRITE_S = 1.0  # for the end mark; then the connection is dropped
# A call that asks for a break has a full buffer, and on top of it comes what waits in its mailbox
# (so many events of what one read brought) and one read that had begun: together 0.13 s.
AHEAD_EVENTS = 1
LOOK_AGAIN_S = 0.02  # at a mailbox with so many


class Mailbox(Protocol):
    """The call's actor, as the reader knows it."""

    @property
    def waiting(self) -> int: ...

    def offer(self, event: Event) -> bool: ...

    def tell(self, event: Event) -> None: ...


class AudioConnection:
    """Connects, reads and echoes for one call."""

    def __init__(
        self,
        call_id: int,
        address: tuple[str, int],
        mailbox: Mailbox,
        load: Callable[[], float],
        metrics: Metrics,
        *,
        beat: Beat,
        is_quiet: Callable[[], bool],
        passed_on: Callable[[Samples], None],
    ) -> None:
        """`load` is that of the contexts, 0..1; `is_quiet` tells that nobody speaks. `passed_on` is
        called with the samples of each event that the mailbox has taken."""
        self._call_id = call_id
        self._address = address
        self._mailbox = mailbox
        self._load = load
        self._metrics = metrics
        self._beat = beat
        self._is_quiet = is_quiet
        self._passed_on = passed_on
        self._may_read = True
        self._resting: socket.socket | None = None  # is read on when the call says so
        self._stopped = False
        self._decoder = AudioDecoder()
        self._echoes: list[str] = []
        self._socket: socket.socket | None = None
        self._reader: gevent.Greenlet[..., None] | None = None
        self._writer: gevent.Greenlet[[socket.socket], None] | None = None
        self._lost: OSError | None = None  # as the writer was told: a socket tells once
        self._chunk_samples = 0  # of the chunk that is arriving
        self._chunk_s = 0.0  # the length of the last one that was complete
        self._pieces: list[Samples] = []  # of one read, not passed on yet

    def connect(self) -> None:
        self._reader = gevent.spawn(self._connect_and_read)

    def pause(self) -> None:
        self._may_read = False

    def resume(self) -> None:
        self._may_read = True
        if self._resting is not None and not self._stopped:
            self._reader = gevent.spawn(self._read_on, self._resting)
            self._resting = None

    def echo(self, text: str) -> None:
        """Write `text` to the peer when it reads; dropped and counted when it does not."""
        if len(self._echoes) >= ECHOES:
            self._metrics.echoes_dropped.inc()
            return
        self._echoes.append(text)
        if self._socket is not None and (self._writer is None or self._writer.ready()):
            self._writer = gevent.spawn(self._write_echoes, self._socket)

    def close(self) -> None:
        """Say the end and hang up, without keeping the caller of this waiting."""
        self.stop_reading()
        if missing := self._decoder.non_finite_samples:
            self._metrics.samples_not_finite.inc(missing)
            log.warning(
                "call %d: %d samples were NaN or infinite and are taken as silence",
                self._call_id,
                missing,
            )
            self._decoder.non_finite_samples = 0  # whoever crashes closes again
        gevent.spawn(self._hang_up)

    def stop_reading(self) -> None:
        """Take no more audio, however long the peer goes on."""
        self._stopped = True
        if self._reader is not None:
            self._reader.kill(block=False)

    def _connect_and_read(self) -> None:
        try:
            connection = connected(self._address, CONNECT_TIMEOUT_S)
            connection.settimeout(None)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED_BYTES)
        except OSError as error:
            level = level_of(error)
            log.log(level, "call %d: no audio at %s:%d: %s", self._call_id, *self._address, error)
            self._mailbox.tell(ev.ConnectFailed())
            return
        self._socket = connection
        log.info("call %d: audio connected at %s:%d", self._call_id, *self._address)
        self._mailbox.tell(ev.AudioConnected())
        self._read_on(connection)

    def _read_on(self, connection: socket.socket) -> None:
        """Read until the stream ends, or the call asks for a break."""
        reason = self._read(connection)
        if reason is None:
            self._resting = connection
        else:
            self._offer(ev.StreamEnded(reason))

    def _read(self, connection: socket.socket) -> EndReason | None:
        """Why the stream ended; None when it did not."""
        try:
            while self._may_read:
                data = connection.recv(READ_BYTES)
                if not self._take_in(data):
                    return EndReason.END_OF_STREAM
                more_waits, within_chunk = len(data) == READ_BYTES, self._chunk_samples > 0
                del data  # nothing is held here while we wait
                if more_waits or within_chunk:
                    let_hub_look()  # a fast sender must not keep it
                else:
                    self._beat.wait(self._beats(), of=self._call_id)
                self._await_room()
            return None
        except ProtocolError as error:
            self._pass_on()
            self._metrics.protocol_errors.inc()
            log.warning("call %d: %s", self._call_id, error)
            return EndReason.PROTOCOL_ERROR
        except OSError as error:
            log.warning("call %d: audio connection lost: %s", self._call_id, error)
            return EndReason.CONNECTION_LOST

    def _await_room(self) -> None:
        """What the mailbox has no room for yet stays in the socket."""
        while self._mailbox.waiting >= AHEAD_EVENTS:
            gevent.sleep(LOOK_AGAIN_S)

    def _take_in(self, data: bytes) -> bool:
        """Pass on what one read brought; whether the stream goes on."""
        for event in self._decoder.feed(data):
            self._hear(event)
        self._pass_on()
        if not data and not self._decoder.ended:
            if self._lost is not None:
                raise self._lost
            self._decoder.eof()
        return bool(data) and not self._decoder.ended

    def _hear(self, event: Hello | Audio | EndOfStream) -> None:
        match event:
            case Hello(text) if text.strip() != str(self._call_id):
                log.warning("call %d: the audio peer says it is call %r", self._call_id, text)
            case Audio(samples, ends_chunk):
                self._pieces.append(samples)
                self._chunk_samples += len(samples)
                if ends_chunk:
                    self._chunk_s = self._chunk_samples / SAMPLE_RATE_HZ
                    self._chunk_samples = 0
                    if self._chunk_s >= SPEECH_CHUNK_S:
                        self._pass_on()
            case EndOfStream():
                self._pass_on()

    def _pass_on(self) -> None:
        """Tell the call what one read brought, as one event: behind time, that is many frames."""
        if not self._pieces:
            return
        samples = self._pieces[0] if len(self._pieces) == 1 else np.concatenate(self._pieces)
        self._pieces.clear()
        self._metrics.audio_s.inc(len(samples) / SAMPLE_RATE_HZ)
        chunk_s = 0.0 if self._chunk_samples else self._chunk_s
        self._offer(ev.AudioReceived(samples, chunk_s, self._load()))
        self._passed_on(samples)

    def _beats(self) -> int:
        """How many beats from read to read. Silence can wait; and a busy server reads less often,
        and more at a time, which leaves the cores to inference."""
        return RARE if self._is_quiet() else 1 + round((RARE - 1) * self._load())

    def _offer(self, event: Event) -> None:
        while not self._mailbox.offer(event):
            gevent.sleep(LOOK_AGAIN_S)

    def _write_echoes(self, connection: socket.socket) -> None:
        try:
            while self._echoes:
                connection.sendall(encode(self._echoes[0].encode()))
                del self._echoes[0]
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                self._lost = error
            log.debug("call %d: the audio peer takes no text: %s", self._call_id, error)

    def _hang_up(self) -> None:
        if self._socket is None:
            return
        if self._wrote_all():
            try:
                self._socket.settimeout(LAST_WRITE_S)
                self._socket.sendall(END_OF_STREAM)
            except OSError:
                log.debug("call %d: the audio peer was gone before us", self._call_id)
        self._socket.close()

    def _wrote_all(self) -> bool:
        """Give the writer its last second; False when it had to be stopped, maybe amid a text."""
        if self._writer is None:
            return True
        self._writer.join(LAST_WRITE_S)
        done = self._writer.ready()
        self._writer.kill()
        return done
