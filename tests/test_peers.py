"""Both peers of the service over loopback: the caller against a small service, and the sink."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import gevent
import numpy as np
import pytest
import soundfile
import typer
from gevent import socket
from gevent.event import Event
from gevent.pool import Group
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from callfsm.errors import ConfigError
from service import wire
from service.cli.call import call
from service.cli.sink import sink as sink_command
from service.peers.caller import Caller, CallerSettings, CallFailedError, register_intervals_s
from service.peers.chunking import FRAME_SAMPLES, cut
from service.peers.ports import free_base_port
from service.peers.sink import Message, Sink

SECOND = 16_000


def buzz(seconds: float) -> wire.Samples:
    """A voice-like sound: a 120 Hz pulse train through two formants' worth of harmonics."""
    time_s = np.arange(int(seconds * SECOND)) / SECOND
    harmonics = [np.sin(2 * np.pi * 120 * n * time_s) / n for n in range(1, 25)]
    return np.asarray(0.2 * np.sum(harmonics, axis=0), dtype=np.float32)


def silence(seconds: float) -> wire.Samples:
    return np.zeros(int(seconds * SECOND), np.float32)


class SmallService:
    """The service's side of the wire, for every call that registers; keeps what it saw, in order.

    It connects to a call at its `answers_at`-th REGISTER, and writes `reply` and its end mark back
    when the call's audio ended.
    """

    def __init__(self, answers_at: int = 1, reply: bytes = b"") -> None:
        self.datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.datagrams.bind(("127.0.0.1", 0))
        self.base_port = free_base_port(4)
        self.settings = CallerSettings(
            registration_port=self.datagrams.getsockname()[1],
            audio_base_port=self.base_port,
            realtime=False,
            linger_s=5,
        )
        self.answers_at = answers_at
        self.reply = reply
        self.seen: list[wire.Register | wire.Bye] = []
        self.audio: dict[int, list[wire.AudioEvent]] = {}
        self.end_marks: dict[int, bytes] = {}
        self.bye_seen = Event()
        self.greenlets = Group()
        self.greenlets.spawn(self.listen)

    def listen(self) -> None:
        while True:
            event = wire.parse_datagram(self.datagrams.recv(100), self.base_port)
            self.seen.append(event)
            if isinstance(event, wire.Bye):
                self.bye_seen.set()
            elif self.seen.count(event) == self.answers_at:
                self.greenlets.spawn(self.take_call, event.call_id)

    def take_call(self, call_id: int) -> None:
        decoder = wire.AudioDecoder()
        events = self.audio.setdefault(call_id, [])
        with socket.create_connection(("127.0.0.1", self.base_port + call_id)) as connection:
            while not decoder.ended and (data := connection.recv(65_536)):
                self.end_marks[call_id] = data[-4:]
                events.extend(decoder.feed(data))
            connection.sendall(self.reply + wire.END_OF_STREAM)

    def samples(self, call_id: int) -> wire.Samples:
        pieces = [e.samples for e in self.audio[call_id] if isinstance(e, wire.Audio)]
        return np.concatenate(pieces)

    def chunk_count(self, call_id: int) -> int:
        return sum(isinstance(e, wire.Audio) and e.ends_chunk for e in self.audio[call_id])

    def close(self) -> None:
        self.greenlets.kill()
        self.datagrams.close()


class DroppingService(SmallService):
    """Connects to a call, takes its HELLO and closes."""

    def take_call(self, call_id: int) -> None:
        with socket.create_connection(("127.0.0.1", self.base_port + call_id)) as connection:
            connection.recv(len(wire.hello(call_id)))


@contextmanager
def small_service(
    answers_at: int = 1, reply: bytes = b"", kind: type[SmallService] = SmallService
) -> Iterator[SmallService]:
    service = kind(answers_at, reply)
    try:
        yield service
    finally:
        service.close()


# --------------------------------------------------------------------------------------- cutting


@given(st.integers(0, 5 * FRAME_SAMPLES))
def test_frames_cover_all_of_the_audio(length: int) -> None:
    """Frames of 20 ms follow each other without a gap; only the last may be shorter."""
    pieces = cut(np.zeros(length, np.float32), "frames")
    assert [piece.begin for piece in pieces] == list(range(0, length, FRAME_SAMPLES))
    assert [piece.end for piece in pieces] == [piece.begin for piece in pieces[1:]] + (
        [length] if length else []
    )


def test_silence_is_not_cut_into_chunks() -> None:
    """A caller who says nothing sends no chunk."""
    assert cut(silence(4), "chunks") == []


def test_chunks_hold_speech_and_a_fifth_of_a_second_after_it() -> None:
    """An utterance leaves as one chunk, from just before it until about 200 ms after it."""
    samples = np.concatenate([silence(1), buzz(1.5), silence(1.5), buzz(0.1), silence(1)])
    utterance, click = cut(samples, "chunks")
    assert utterance.begin / SECOND == pytest.approx(0.9, abs=0.05)
    assert utterance.end / SECOND == pytest.approx(2.7, abs=0.15)  # the detector holds on a little
    assert click.begin / SECOND == pytest.approx(3.9, abs=0.05)
    assert (click.end - click.begin) / SECOND == pytest.approx(0.5, abs=0.05)


def test_long_speech_is_cut_every_three_seconds_without_loss() -> None:
    """Unbroken speech leaves in chunks of 3 s that follow each other, the rest at the end."""
    pieces = cut(buzz(7.01), "chunks")
    assert [piece.end for piece in pieces] == [3 * SECOND, 6 * SECOND, int(7.01 * SECOND)]
    assert [piece.begin for piece in pieces[1:]] == [piece.end for piece in pieces[:-1]]


# ---------------------------------------------------------------------------------------- caller


def test_a_call_in_frames_brings_every_sample() -> None:
    """The service gets HELLO, the same samples in frames of 20 ms, and the end."""
    samples = buzz(0.5)
    with small_service() as service:
        report = Caller(3, samples, service.settings).run()
        events = service.audio[3]
        assert (events[0], events[-1]) == (wire.Hello("3"), wire.EndOfStream())
        assert service.chunk_count(3) == 25
        np.testing.assert_array_equal(service.samples(3), samples)
    assert report.seconds_sent == 0.5
    assert report.connected_after_s is not None


def test_a_call_in_chunks_brings_only_the_speech() -> None:
    """The service gets each utterance as one chunk, and none of the silence between them."""
    samples = np.concatenate([silence(1), buzz(1), silence(2), buzz(1), silence(1)])
    with small_service() as service:
        report = Caller(1, samples, replace(service.settings, style="chunks")).run()
        spoken = [samples[piece.begin : piece.end] for piece in cut(samples, "chunks")]
        assert service.chunk_count(1) == 2
        np.testing.assert_array_equal(service.samples(1), np.concatenate(spoken))
    assert 2.4 < report.seconds_sent < 3.2


@pytest.mark.parametrize("end_mark", [wire.END_OF_STREAM, wire.END_OF_STREAM_IN_THE_FIELD])
def test_the_end_mark_is_the_one_asked_for(end_mark: bytes) -> None:
    """A caller ends its stream with 0xFFFFFFFF or, as those in the field, with a length of 0."""
    with small_service() as service:
        Caller(1, buzz(0.1), replace(service.settings, end_mark=end_mark)).run()
        assert service.audio[1][-1] == wire.EndOfStream()
        assert service.end_marks[1] == end_mark


class RecordingSocket:
    """Notes what the caller sends, into a list shared by its sockets."""

    def __init__(self, sent: list[bytes]) -> None:
        self.sent = sent

    def sendall(self, data: bytes) -> None:
        self.sent.append(data)

    def sendto(self, data: bytes, address: object) -> None:
        self.sent.append(data)


@pytest.mark.parametrize("bye_first", [True, False])
def test_bye_leaves_before_or_after_the_end_of_the_stream(bye_first: bool) -> None:
    """Senders in the field send the UDP BYE first; the other order can be asked for."""
    sent: list[bytes] = []
    wires = RecordingSocket(sent)
    Caller(7, buzz(0.1), CallerSettings(bye_first=bye_first))._hang_up(wires, wires)  # type: ignore[arg-type]
    in_order = [b"BYE:7", wire.END_OF_STREAM]
    assert sent == (in_order if bye_first else in_order[::-1])


def test_bye_reaches_the_registration_port() -> None:
    """The service hears BYE for the call that registered."""
    with small_service() as service:
        Caller(2, buzz(0.1), service.settings).run()
        assert service.bye_seen.wait(5)
        assert service.seen == [wire.Register(2), wire.Bye(2)]


def test_register_is_repeated_until_the_service_connects() -> None:
    """A service that missed two REGISTERs connects at the third, and no fourth is sent."""
    with small_service(answers_at=3) as service:
        report = Caller(1, buzz(0.1), service.settings).run()
        assert service.bye_seen.wait(5)
        assert service.seen == [wire.Register(1)] * 3 + [wire.Bye(1)]
    assert report.connected_after_s is not None
    assert report.connected_after_s >= 0.4


def test_register_is_sent_fast_for_a_second_and_then_every_second() -> None:
    """REGISTER leaves after 0, 0.2 … 1.0 s, then at 2, 3, 4 s."""
    intervals = register_intervals_s()
    assert [next(intervals) for _ in range(8)] == [0.2] * 5 + [1.0] * 3


def test_texts_that_the_service_returns_are_in_the_report() -> None:
    """What the service writes back is collected, also when it comes after the hang-up."""
    reply = wire.encode(b"hello") + wire.encode("né".encode())
    with small_service(reply=reply) as service:
        report = Caller(1, buzz(0.1), service.settings).run()
    assert [text.text for text in report.texts] == ["hello", "né"]


def test_a_realtime_frame_leaves_when_its_last_sample_was_spoken() -> None:
    """Frame n leaves n × 20 ms after the start, and the hang-up follows the last sample."""
    clock_s = [100.0]
    left_at_s: list[float] = []

    def sleep(seconds: float) -> None:
        clock_s[0] += seconds
        gevent.sleep(0)

    with small_service() as service:
        report = Caller(
            1,
            buzz(0.1),
            replace(service.settings, realtime=True),
            on_progress=lambda _: left_at_s.append(clock_s[0]),
            now=lambda: clock_s[0],
            sleep=sleep,
        ).run()
    assert left_at_s == pytest.approx([100.02, 100.04, 100.06, 100.08, 100.10])
    assert report.spoken_from_s == 100.0
    assert report.worst_lag_s == pytest.approx(0, abs=1e-9)


def test_a_call_that_nobody_answers_fails_with_a_sentence() -> None:
    """Without a service the call fails in time, and its report says that it never connected."""
    with small_service(answers_at=1_000) as service:
        caller = Caller(4, buzz(0.1), replace(service.settings, connect_timeout_s=0.01))
        with pytest.raises(CallFailedError, match=r"call 4 got no connection within 0\.01 s") as e:
            caller.run()
    assert e.value.report.connected_after_s is None


def test_a_call_on_a_port_in_use_fails_with_a_sentence() -> None:
    """Two calls cannot have the same id at once."""
    with small_service() as service, socket.socket() as other:
        other.bind(("127.0.0.1", service.base_port + 1))
        other.listen()
        with pytest.raises(CallFailedError, match=r"call 1 cannot listen on 127\.0\.0\.1:"):
            Caller(1, buzz(0.1), service.settings).run()


def test_a_service_that_breaks_the_connection_fails_the_call() -> None:
    """A connection lost while speaking says how far the call got."""
    with (
        small_service(kind=DroppingService) as service,
        pytest.raises(CallFailedError, match=r"call 1 lost its connection after \d") as e,
    ):
        Caller(1, silence(600), service.settings).run()
    assert e.value.report.connected_after_s is not None
    assert e.value.report.seconds_sent < 600


def test_a_service_that_answers_nonsense_fails_the_call() -> None:
    """A broken stream of texts is reported with the rule that it breaks."""
    with (
        small_service(reply=b"\0\0\0\0") as service,
        pytest.raises(CallFailedError, match="call 1 was answered with a broken stream: a text of"),
    ):
        Caller(1, buzz(0.1), service.settings).run()


# ------------------------------------------------------------------------------------------ sink


@contextmanager
def running_sink() -> Iterator[Sink]:
    sink = Sink(port=0)
    sink.start()
    try:
        yield sink
    finally:
        sink.stop()


def send(sink: Sink, *messages: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", sink.port), timeout=5)
    connection.sendall(b"".join(messages))
    return connection


def closed_by_peer(connection: socket.socket) -> bool:
    """Wait until the peer closes; it sends nothing before."""
    with connection:
        return connection.recv(1) == b""


def test_the_sink_keeps_the_texts_of_each_call_in_order() -> None:
    """Texts of two calls are kept apart, in order, with rising times."""
    with running_sink() as sink:
        one = send(sink, wire.hello(1), wire.encode(b"to be"), wire.encode(b"or not"))
        two = send(sink, wire.hello(2), wire.encode(b"hello"), wire.END_OF_STREAM)
        one.sendall(wire.END_OF_STREAM)
        assert closed_by_peer(one)
        assert closed_by_peer(two)
        assert sink.texts(1) == ["to be", "or not"]
        assert sink.texts(2) == ["hello"]
        times = [message.at_monotonic_s for message in sink.messages]
        assert times == sorted(times)
        assert sink.faults == []


def test_the_sink_tells_of_each_message() -> None:
    """The callback gets every message as it arrives."""
    told: list[Message] = []
    sink = Sink(port=0, on_message=told.append)
    sink.start()
    assert closed_by_peer(send(sink, wire.hello(1), wire.encode(b"hi"), wire.END_OF_STREAM))
    sink.stop()
    assert [message.text for message in told] == ["hi"]
    assert told == sink.messages


def test_the_sink_rejects_a_second_connection_of_a_connected_call() -> None:
    """The doubled connection is closed at once; the first one goes on undisturbed."""
    with running_sink() as sink:
        first = send(sink, wire.hello(1), wire.encode(b"one"))
        second = send(sink, wire.hello(1), wire.encode(b"doubled"))
        assert closed_by_peer(second)
        first.sendall(wire.encode(b"two") + wire.END_OF_STREAM)
        assert closed_by_peer(first)
        assert sink.texts(1) == ["one", "two"]
        assert len(sink.faults) == 1
        assert "call 1 is still connected" in sink.faults[0]


@pytest.mark.parametrize("end", [wire.END_OF_STREAM, b""])
def test_a_call_connects_to_the_sink_again_after_it_left(end: bytes) -> None:
    """After a BYE, or a bare close, the same call id is welcome again."""
    with running_sink() as sink:
        first = send(sink, wire.hello(1), wire.encode(b"one"), end)
        first.shutdown(socket.SHUT_WR)
        assert closed_by_peer(first)
        second = send(sink, wire.hello(1), wire.encode(b"two"), wire.END_OF_STREAM)
        assert closed_by_peer(second)
        assert sink.texts(1) == ["one", "two"]


@pytest.mark.parametrize("stream", [wire.encode(b"x1"), wire.hello(1) + b"\0\0\0\0"])
def test_a_connection_that_breaks_the_protocol_is_a_fault_of_its_own(stream: bytes) -> None:
    """The sink closes a broken connection, notes why, and goes on."""
    with running_sink() as sink:
        assert closed_by_peer(send(sink, stream))
        assert len(sink.faults) == 1
        assert sink.connected == set()
        assert closed_by_peer(send(sink, wire.hello(1), wire.encode(b"fine"), wire.END_OF_STREAM))
        assert sink.texts(1) == ["fine"]


def test_a_sink_starts_again_on_its_port() -> None:
    """Stopping closes the connections and frees the port for the next start."""
    arrived = Event()
    sink = Sink(port=0, on_message=lambda message: arrived.set())
    sink.start()
    port = sink.port
    connection = send(sink, wire.hello(1), wire.encode(b"one"))
    assert arrived.wait(5)
    sink.stop()
    assert closed_by_peer(connection)
    sink.start()
    assert sink.port == port
    assert closed_by_peer(send(sink, wire.hello(1), wire.encode(b"two"), wire.END_OF_STREAM))
    sink.stop()
    assert sink.texts(1) == ["one", "two"]


def test_a_sink_cannot_take_a_port_in_use() -> None:
    """The error names the address."""
    with (
        running_sink() as sink,
        pytest.raises(ConfigError, match=rf"no sink can listen on 127\.0\.0\.1:{sink.port}"),
    ):
        Sink(port=sink.port).start()


# ---------------------------------------------------------------------------------- command line


def command(function: Callable[..., None]) -> typer.Typer:
    app = typer.Typer()
    app.command()(function)
    return app


def ports(service: SmallService) -> tuple[str, str]:
    """The options that lead `call` to the small service."""
    return (
        f"--udp-port={service.settings.registration_port}",
        f"--audio-base-port={service.base_port}",
    )


def test_call_plays_files_in_turn_and_reports_each(tmp_path: Path) -> None:
    """Three calls over two files: the first file is used again, and every call is reported."""
    for name, seconds in (("a.wav", 0.2), ("b.wav", 0.4)):
        soundfile.write(tmp_path / name, buzz(seconds), SECOND)
    with small_service(reply=wire.encode(b"hello")) as service:
        files = (str(tmp_path / "a.wav"), str(tmp_path / "b.wav"))
        options = ("--calls=3", "--fast", "--json", "--first-id=2", *ports(service))
        result = CliRunner().invoke(command(call), [*files, *options])
    assert result.exit_code == 0
    rows = json.loads(result.stdout)
    assert [(row["call_id"], row["seconds_sent"]) for row in rows] == [(2, 0.2), (3, 0.4), (4, 0.2)]
    assert [row["texts"][0]["text"] for row in rows] == ["hello"] * 3


def test_call_shows_a_table(tmp_path: Path) -> None:
    """Without --json the summary is a table with the texts that came back."""
    soundfile.write(tmp_path / "a.wav", buzz(0.2), SECOND)
    with small_service(reply=wire.encode(b"hello [there]")) as service:
        options = ("--fast", "--style=frames", *ports(service))
        result = CliRunner().invoke(command(call), [str(tmp_path / "a.wav"), *options])
    assert result.exit_code == 0
    assert "a.wav" in result.stdout
    assert "hello [there]" in result.stdout


def test_call_says_in_one_line_why_it_failed(tmp_path: Path) -> None:
    """A missing file, or a call that failed, is one line on stderr and exit code 2."""
    missing = CliRunner().invoke(command(call), [str(tmp_path / "none.wav")])
    assert (missing.exit_code, missing.stderr.count("\n")) == (2, 1)

    soundfile.write(tmp_path / "a.wav", buzz(0.2), SECOND)
    with small_service() as service, socket.socket() as other:
        other.bind(("127.0.0.1", service.base_port + 1))
        other.listen()
        busy = CliRunner().invoke(command(call), [str(tmp_path / "a.wav"), *ports(service)])
    assert busy.exit_code == 2
    assert busy.stderr.startswith("call 1 cannot listen on")
    assert busy.stderr.count("\n") == 1


def test_sink_prints_json_lines_and_ends_cleanly_on_ctrl_c() -> None:
    """Each message is one JSON object with its UTC time; Ctrl-C ends with exit code 0."""
    program = "import typer; from service.cli.sink import sink; typer.run(sink)"
    with subprocess.Popen(
        [sys.executable, "-c", program, "--port=0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        port = int(process.stderr.readline().split(":")[1].split(";")[0])
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(wire.hello(5) + wire.encode("né".encode()))
            row = json.loads(process.stdout.readline())
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stderr.read() == ""
    assert (row["call_id"], row["text"]) == (5, "né")
    assert row["time"].endswith("+00:00")


def test_sink_says_in_one_line_that_its_port_is_taken() -> None:
    """A port in use is one line on stderr and exit code 2."""
    with running_sink() as sink:
        result = CliRunner().invoke(command(sink_command), [f"--port={sink.port}"])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
