"""What one read brings is one event for the call."""

import gc
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import gevent
import numpy as np
import pytest
from gevent import socket
from gevent.event import Event as Signal

from callfsm.call.events import AudioConnected, AudioReceived, EndReason, StreamEnded
from callfsm.fsm.table import Event
from service import audio
from service.audio import AudioConnection
from service.beat import Beat
from service.metrics import Metrics
from service.wire import END_OF_STREAM, Samples, encode

WAIT_S = 5.0  # only a test that fails waits so long
FRAME = np.full(320, 0.25, "<f4")
ONE_FRAME = encode(FRAME.tobytes())
CHUNK = np.full(16_000, 0.5, "<f4")


class Box:
    """A mailbox that is never full, and what it was told."""

    waiting = 0

    def __init__(self) -> None:
        self.events: list[Event] = []

    def offer(self, event: Event) -> bool:
        self.events.append(event)
        return True

    def tell(self, event: Event) -> None:
        self.events.append(event)

    @property
    def audio(self) -> list[tuple[int, float]]:
        """Samples and chunk length of each piece of audio."""
        heard = [event for event in self.events if isinstance(event, AudioReceived)]
        return [(len(event.samples), event.chunk_s) for event in heard]

    @property
    def ends(self) -> list[EndReason]:
        return [event.reason for event in self.events if isinstance(event, StreamEnded)]

    def await_end(self) -> None:
        with gevent.Timeout(WAIT_S):
            while not any(isinstance(event, StreamEnded) for event in self.events):
                gevent.sleep(0.001)


class CountedBeat(Beat):
    """It beats at once, and notes what was waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[int] = []

    def wait(self, every: int = 1, of: int = 0) -> None:
        self.waits.append(every)
        gevent.sleep(0)


class HeldBeat(CountedBeat):
    """A reader waits until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.let = Signal()

    def wait(self, every: int = 1, of: int = 0) -> None:
        super().wait(every, of)
        self.let.wait()


@contextmanager
def connected(
    box: Box, beat: Beat | None = None, *, quiet: bool = False, load: float = 0.0
) -> Iterator[socket.socket]:
    """The far end of call 7's audio connection."""
    with connection_of(box, beat, quiet=quiet, load=load) as (_, far):
        yield far


@contextmanager
def connection_of(
    box: Box,
    beat: Beat | None = None,
    *,
    quiet: bool = False,
    load: float = 0.0,
    passed_on: Callable[[Samples], None] = lambda _: None,
) -> Iterator[tuple[AudioConnection, socket.socket]]:
    """Call 7's audio connection, and the far end."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = listener.getsockname()
        connection = AudioConnection(
            7,
            address,
            box,
            lambda: load,
            Metrics(),
            beat=beat or CountedBeat(),
            is_quiet=lambda: quiet,
            passed_on=passed_on,
        )
        connection.connect()
        far, _ = listener.accept()
        with far:
            yield connection, far
        connection.close()


def begin(far: socket.socket, box: Box, first: bytes = ONE_FRAME) -> None:
    """Say who calls, and wait until audio is heard: then the reader waits for the beat."""
    far.sendall(encode(b"7") + first)
    with gevent.Timeout(WAIT_S):
        while not box.audio:
            gevent.sleep(0.001)


def test_frames_that_came_together_are_one_event() -> None:
    """Behind time, the call is told once of all that waits; the last frame says what it ended."""
    box = Box()
    with connected(box) as far:
        far.sendall(encode(b"7") + 3 * encode(FRAME.tobytes()) + END_OF_STREAM)
        box.await_end()
    assert box.audio == [(960, 0.02)]
    assert box.events[-1] == StreamEnded(EndReason.END_OF_STREAM)
    assert isinstance(box.events[0], AudioConnected)


def test_what_the_call_was_told_is_passed_on_once() -> None:
    """All of it and in order, after the mailbox has taken it."""
    box, lengths = Box(), []

    def passed_on(samples: Samples) -> None:
        lengths.append(len(samples))
        assert [samples for samples, _ in box.audio] == lengths

    with connection_of(box, passed_on=passed_on) as (_, far):
        far.sendall(
            encode(b"7") + encode(CHUNK.tobytes()) + encode(FRAME.tobytes()) + END_OF_STREAM
        )
        box.await_end()
    assert sum(lengths) == 16_320


def test_a_speech_chunk_ends_an_event() -> None:
    """Its end says that the speaker paused, or could: nothing later may hide it."""
    box = Box()
    with connected(box) as far:
        far.sendall(
            encode(b"7") + encode(CHUNK.tobytes()) + encode(FRAME.tobytes()) + END_OF_STREAM
        )
        box.await_end()
    assert sum(samples for samples, _ in box.audio) == 16_320
    assert [chunk_s for _, chunk_s in box.audio if chunk_s] == [1.0, 0.02]


def test_what_came_before_a_fault_is_heard() -> None:
    """A chunk that is no whole number of samples ends the stream after the frames before it."""
    box = Box()
    with connected(box) as far:
        far.sendall(encode(b"7") + 2 * encode(FRAME.tobytes()) + encode(b"abc"))
        box.await_end()
    assert box.audio == [(640, 0.02)]
    assert box.events[-1] == StreamEnded(EndReason.PROTOCOL_ERROR)


@pytest.mark.parametrize(
    ("quiet", "load", "beats"), [(False, 0.2, 1), (False, 0.5, 2), (False, 1.0, 3), (True, 0.0, 3)]
)
def test_silence_and_a_busy_server_are_read_more_rarely(
    quiet: bool, load: float, beats: int
) -> None:
    """Every beat brings speech while time is to spare; silence, and a full load, wait for three."""
    box, beat = Box(), CountedBeat()
    with connected(box, beat, quiet=quiet, load=load) as far:
        begin(far, box)
        far.sendall(END_OF_STREAM)
        box.await_end()
    assert set(beat.waits) == {beats}


def greenlets() -> int:
    """That have not ended."""
    return sum(
        isinstance(thing, gevent.Greenlet) and not thing.ready() for thing in gc.get_objects()
    )


def rest(
    connection: AudioConnection,
    far: socket.socket,
    box: Box,
    last: bytes = ONE_FRAME,
) -> None:
    """Have the reader of `connection` rest: it finds out with what it reads next."""
    begin(far, box)
    with gevent.Timeout(WAIT_S):
        before = greenlets()
        connection.pause()
        far.sendall(last)
        while greenlets() == before:
            gevent.sleep(0.001)


def test_a_call_that_must_wait_takes_no_greenlet_and_loses_nothing() -> None:
    """What is sent meanwhile stays in the socket, and is heard once when there is room again."""
    box = Box()
    with connection_of(box) as (connection, far):
        rest(connection, far, box)
        heard = box.audio
        far.sendall(encode(CHUNK.tobytes()) + END_OF_STREAM)
        gevent.sleep(0.01)
        assert box.audio == heard == [(320, 0.02), (320, 0.02)]
        connection.resume()
        connection.resume()
        box.await_end()
    assert sum(samples for samples, _ in box.audio) == 16_640


def test_a_chunk_that_a_break_cuts_in_two_is_one_chunk() -> None:
    """Its end says how long all of it was."""
    box = Box()
    with connection_of(box) as (connection, far):
        rest(connection, far, box, encode(CHUNK.tobytes())[:30_000])
        connection.resume()
        far.sendall(encode(CHUNK.tobytes())[30_000:] + END_OF_STREAM)
        box.await_end()
    assert sum(samples for samples, _ in box.audio) == 16_320
    assert [chunk_s for _, chunk_s in box.audio if chunk_s] == [0.02, 1.0]


def test_a_peer_that_hangs_up_during_a_break_ends_the_stream_after_it() -> None:
    """And once."""
    box = Box()
    with connection_of(box) as (connection, far):
        rest(connection, far, box)
        far.close()
        gevent.sleep(0.01)
        assert box.ends == []
        connection.resume()
        box.await_end()
        connection.resume()
        gevent.sleep(0.01)
    assert box.ends == [EndReason.END_OF_STREAM]


def test_a_break_that_is_over_before_it_began_is_none() -> None:
    """The reader that was told twice meanwhile is the only one, and reads on."""
    box, beat = Box(), HeldBeat()
    with connection_of(box, beat) as (connection, far):
        begin(far, box)
        before = greenlets()
        connection.pause()
        connection.resume()
        assert greenlets() == before
        far.sendall(encode(FRAME.tobytes()) + END_OF_STREAM)
        beat.let.set()
        box.await_end()
    assert box.audio == [(320, 0.02), (320, 0.02)]


def test_a_reader_that_is_stopped_on_its_way_to_a_break_never_reads_on() -> None:
    """It ends by itself, before it is killed; what it leaves is nobody's."""
    box, beat = Box(), HeldBeat()
    with connection_of(box, beat) as (connection, far):
        begin(far, box)
        connection.pause()
        beat.let.set()
        connection.stop_reading()
        gevent.sleep(0.01)
        connection.resume()
        far.sendall(encode(FRAME.tobytes()))
        gevent.sleep(0.01)
    assert len(box.audio) == 1


def test_a_call_that_is_shut_down_while_it_waits_reads_no_more() -> None:
    """Though what waits is transcribed then, and there is room."""
    box = Box()
    with connection_of(box) as (connection, far):
        rest(connection, far, box)
        connection.stop_reading()
        connection.resume()
        far.sendall(encode(FRAME.tobytes()))
        gevent.sleep(0.01)
    assert len(box.audio) == 2


@pytest.mark.parametrize("sent", [encode(FRAME.tobytes()), encode(CHUNK.tobytes())[:6_000]])
def test_a_reset_that_the_echo_was_told_of_is_no_end(sent: bytes) -> None:
    """A socket tells once that it was reset; the reader learns it from the writer."""
    box, beat = Box(), HeldBeat()
    with connection_of(box, beat) as (connection, far):
        begin(far, box, sent)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        far.close()
        connection.echo("too late")
        gevent.sleep(0.01)
        beat.let.set()
        box.await_end()
    assert box.events[-1] == StreamEnded(EndReason.CONNECTION_LOST)


@pytest.mark.parametrize(("text", "is_read"), [("well", True), ("x" * 9_000_000, False)])
def test_only_whole_texts_are_followed_by_the_end_mark(
    monkeypatch: pytest.MonkeyPatch, text: str, is_read: bool
) -> None:
    """A peer that does not read in time gets a part of the last text: its end mark would be taken
    for more of it."""
    monkeypatch.setattr(audio, "LAST_WRITE_S", 0.05)
    box, message = Box(), encode(text.encode())
    with connection_of(box) as (connection, far):
        begin(far, box)
        connection.echo(text)
        gevent.sleep(0.01)  # the writer begins
        connection.close()
        gevent.sleep(0.1)  # and its last second is over
        received = b""
        while more := far.recv(1_000_000):
            received += more
    if is_read:
        assert received == message + END_OF_STREAM
    else:
        assert len(received) < len(message)
        assert message.startswith(received)
