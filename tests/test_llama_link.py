"""The connection to the language model over loopback: nothing lost, nothing doubled."""

import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gevent
import pytest
from gevent import socket
from server_fixture import PATIENCE_S, eventually, said, serving, speech

from callfsm.link import link as link_model
from callfsm.runtimes.gevent import GeventRuntime
from service import llama
from service.llama import LlamaLink
from service.metrics import Metrics
from service.peers.sink import Sink
from service.wire import TextDecoder


@contextmanager
def linked(port: int, metrics: Metrics | None = None) -> Iterator[LlamaLink]:
    """A link of call 7 to `port`, and the runtime it needs."""
    runtime = GeventRuntime()
    runtime.start()
    with gevent.Timeout(2 * PATIENCE_S):
        try:
            yield LlamaLink(7, ("127.0.0.1", port), runtime, metrics or Metrics())
        finally:
            runtime.stop()


@contextmanager
def listening() -> Iterator[socket.socket]:
    """A port whose connections a test serves itself."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    listener.settimeout(PATIENCE_S)
    with listener:
        yield listener


@contextmanager
def sinking() -> Iterator[Sink]:
    sink = Sink(port=0)
    sink.start()
    try:
        yield sink
    finally:
        sink.stop()


def received(connection: socket.socket, size: int) -> bytes:
    data = b""
    connection.settimeout(PATIENCE_S)
    while len(data) < size and (more := connection.recv(65_536)):
        data += more
    return data


def test_text_waits_for_a_port_that_is_closed_at_first(tmp_path: Path) -> None:
    """A whole call passes before LLaMA listens; then it gets every word, in order, once."""
    with serving(tmp_path) as house:
        house.sink.stop()
        house.caller(7, speech(7, 55)).run()
        link = house.server.switchboard.links[7]
        eventually(lambda: house.state(7) == "", "end of the call")
        eventually(lambda: link.state == "waiting" and link.waiting > 1, "texts that wait")
        assert house.in_database(7) == said(7, 55)
        house.sink.start()
        house.expect(7, said(7, 55))


def test_a_sink_that_restarts_mid_call_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Text before, during and after the sink's absence arrives in order."""
    with serving(tmp_path) as house, house.peer(7) as peer:
        peer.begin()
        peer.send_audio(speech(7, 30), 320)
        eventually(lambda: house.at_sink(7) != "", "first text")
        link = house.server.switchboard.links[7]
        house.sink.stop()
        peer.send_audio(speech(7, 30, 30), 320)
        eventually(lambda: link.state == "waiting" and link.waiting > 0, "text that waits")
        house.sink.start()
        peer.send_audio(speech(7, 30, 60), 320)
        peer.send_end()
        house.expect(7, said(7, 90))


@pytest.mark.parametrize("last_words", [b"", b"thanks"])
def test_a_text_for_a_peer_that_has_just_gone_is_kept(last_words: bytes) -> None:
    """The peer closes, with or without a word; before we are told so, a text comes: it goes to the
    next connection."""
    with listening() as listener, linked(listener.getsockname()[1]) as link:
        link.open()
        first, _ = listener.accept()
        eventually(lambda: link.state == "connected", "connected")
        first.sendall(last_words)
        first.shutdown(socket.SHUT_RDWR)
        link.deliver("kept")
        second, _ = listener.accept()
        decoder = TextDecoder()
        events = list(decoder.feed(received(second, 5 + 8)))
        assert [str(event) for event in events[1:]] == ["Text(text='kept')"]
        first.close()
        second.close()


def test_a_refused_second_connection_keeps_its_text_for_the_next(tmp_path: Path) -> None:
    """Some old connection of call 7 still stands at LLaMA: ours is closed at once, and tries on."""
    with serving(tmp_path) as house:
        old = socket.create_connection(("127.0.0.1", house.sink.port))
        old.sendall(struct.pack(">I", 1) + b"7")
        eventually(lambda: house.sink.connected == {7}, "old connection")
        house.caller(7, speech(7, 10)).run()
        eventually(lambda: house.sink.faults != [], "refusal")
        assert house.at_sink(7) == ""
        old.close()
        house.expect(7, said(7, 10))


def test_calls_of_one_id_share_one_connection(tmp_path: Path) -> None:
    """The connection outlives the call, and the next call of the id uses it."""
    with serving(tmp_path) as house:
        house.caller(7, speech(7, 5)).run()
        house.expect(7, said(7, 5))
        link = house.server.switchboard.links[7]
        eventually(lambda: link.state == "kept", "end of the first call")
        house.caller(7, speech(7, 5, 5)).run()
        house.expect(7, said(7, 10))
        assert house.server.switchboard.links[7] is link
        eventually(lambda: link.state == "kept", "end of the second call")


def test_links_of_ids_that_do_not_come_again_are_dropped(tmp_path: Path) -> None:
    """Call 7's link rests when LLaMA has left and its call is over; the next call id drops it."""
    with serving(tmp_path) as house:
        house.caller(7, speech(7, 5)).run()
        house.expect(7, said(7, 5))
        eventually(lambda: house.state(7) == "", "end of the call")
        link = house.server.switchboard.links[7]
        house.sink.stop()
        eventually(lambda: link.is_resting, "rest")
        house.sink.start()
        house.caller(8, speech(8, 5)).run()
        house.expect(8, said(8, 5))
        assert list(house.server.switchboard.links) == [8]
        eventually(lambda: link.closed, "end of the link")


def test_what_the_peer_sends_back_is_drained() -> None:
    """A megabyte of answers and a BYE neither block the link nor end it."""
    with listening() as listener, linked(listener.getsockname()[1]) as link:
        link.open()
        peer, _ = listener.accept()
        peer.settimeout(PATIENCE_S)
        peer.sendall((struct.pack(">I", 1000) + b"x" * 1000) * 1000 + b"\xff" * 4)
        link.deliver("after")
        assert received(peer, 5 + 9).endswith(b"\0\0\0\5after")
        peer.close()


def test_a_text_that_the_peer_stops_taking_is_sent_again_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A peer that hangs in the middle of a text counts as gone; its next connection gets it all."""
    monkeypatch.setattr(llama, "WRITE_TIMEOUT_S", 0.05)
    text = "word " * 2_000_000
    with listening() as listener, linked(listener.getsockname()[1]) as link:
        link.deliver(text)
        hanging, _ = listener.accept()
        second, _ = listener.accept()
        assert received(second, 5 + 4 + len(text))[9:] == text.encode()
        eventually(lambda: link.waiting == 0, "taken")
        hanging.close()
        second.close()


def test_the_end_delivers_what_waits_and_says_bye() -> None:
    """Closing a link sends the texts that wait, then 0xFFFFFFFF."""
    with listening() as listener, linked(listener.getsockname()[1]) as link:
        link.deliver("one")
        link.deliver("two")
        link.close()
        peer, _ = listener.accept()
        assert received(peer, 1000) == b"\0\0\0\x017\0\0\0\x03one\0\0\0\x03two\xff\xff\xff\xff"
        assert link.wait_closed(PATIENCE_S)
        peer.close()


def test_the_end_does_not_wait_for_ever_for_a_dead_peer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Texts that cannot be delivered before the end are logged and counted."""
    monkeypatch.setattr(link_model, "CLOSE_OVERDUE_S", 0.05)
    metrics = Metrics()
    with sinking() as sink:
        port = sink.port
    with linked(port, metrics) as link:
        link.deliver("never")
        link.close()
        assert link.wait_closed(PATIENCE_S)
    assert metrics.registry.get_sample_value("callfsm_texts_undelivered_total") == 1
    assert "call 7: not delivered to LLaMA: never" in caplog.messages


def test_a_fault_of_the_link_is_counted_text_by_text(caplog: pytest.LogCaptureFixture) -> None:
    """An empty text has no form on the wire: the link ends, and says which texts went with it."""
    metrics = Metrics()
    with sinking() as sink, linked(sink.port, metrics) as link:
        link.deliver("")
        link.deliver("next")
        assert link.wait_closed(PATIENCE_S)
        assert link.closed
        assert sink.messages == []
    assert metrics.registry.get_sample_value("callfsm_texts_undelivered_total") == 2
    assert "call 7: not delivered to LLaMA: next" in caplog.messages


def test_after_ten_attempts_the_link_goes_on_asking(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The tenth failure is logged once, and a peer that comes back later gets its text."""
    for name in ("FAST_RETRY_S", "RETRY_S", "AWAY_RETRY_S"):
        monkeypatch.setattr(link_model, name, 0.005)
    with sinking() as sink:
        port = sink.port
    caplog.set_level(logging.WARNING)
    with linked(port) as link:
        link.deliver("late")
        away = f"call 7: LLaMA at 127.0.0.1:{port} cannot be reached; 1 texts wait for it"
        eventually(lambda: away in caplog.messages, "tenth failure")
        later = Sink(port=port)
        later.start()
        eventually(lambda: later.texts(7) == ["late"], "the text")
        later.stop()
    assert caplog.messages.count(away) == 1
