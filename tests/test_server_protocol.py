"""What PROTOCOL.md promises to the peers, shown on a whole server over loopback."""

import struct
from pathlib import Path

import gevent
import numpy as np
import pytest
from gevent.pool import Group
from server_fixture import add_call, eventually, said, serving, silence, speech

from service.wire import END_OF_STREAM, END_OF_STREAM_IN_THE_FIELD


@pytest.mark.parametrize("style", ["frames", "chunks"])
def test_a_call_in_either_sending_style_is_transcribed_once_and_whole(
    tmp_path: Path, style: str
) -> None:
    """Twelve seconds with a pause come out word for word, however the sender cuts them."""
    audio = np.concatenate([speech(7, 30), silence(1.0), speech(7, 25, 30)])
    with serving(tmp_path) as house:
        house.caller(7, audio, style=style).run()
        house.expect(7, said(7, 55))


def test_every_sample_reaches_an_engine(tmp_path: Path) -> None:
    """Of a call sent as fast as it goes, each 20 ms frame is heard by some engine."""
    with serving(tmp_path) as house:
        house.caller(7, speech(7, 55)).run()
        house.expect(7, said(7, 55))
        assert house.script.frames[7] == set(range(550))


@pytest.mark.parametrize("style", ["frames", "chunks"])
def test_a_call_shorter_than_a_window_is_transcribed(tmp_path: Path, style: str) -> None:
    """1.5 s of speech is less than a window, and nothing of it is lost."""
    with serving(tmp_path) as house:
        house.caller(7, speech(7, 7), style=style).run()
        house.expect(7, said(7, 7))


def test_the_same_call_id_calls_three_times_in_a_row(tmp_path: Path) -> None:
    """Each call of an id works like the first, over one connection to LLaMA."""
    with serving(tmp_path) as house:
        for first_word in (0, 10, 20):
            house.caller(7, speech(7, 10, first_word)).run()
        house.expect(7, said(7, 30))
        assert house.sink.faults == []
        assert house.count("calls_total", end="end of stream") == 3


@pytest.mark.parametrize("hold", [False, True])
def test_a_bye_that_overtakes_the_audio_loses_nothing(tmp_path: Path, hold: bool) -> None:
    """BYE comes while seconds of audio are still in the socket, whether or not engines are busy."""
    with serving(tmp_path) as house, house.peer(7) as peer:
        if hold:
            house.script.hold()
        peer.begin()
        eventually(lambda: house.state(7) == "buffering", "connected")
        sending = gevent.spawn(peer.send_audio, speech(7, 60), 320)
        peer.bye()
        eventually(lambda: house.server.switchboard.sessions[7].call.bye, "BYE")
        if hold:
            house.script.let_all()
        sending.join()
        peer.send_end()
        house.expect(7, said(7, 60))
        assert house.script.frames[7] == set(range(600))


def test_bye_without_an_end_of_stream_ends_the_call_after_a_grace_time(tmp_path: Path) -> None:
    """A sender that says BYE and leaves its connection open does not keep the call open."""
    with serving(tmp_path, grace_s=0.05) as house, house.peer(7) as peer:
        peer.begin()
        peer.send_audio(speech(7, 5), 320)
        peer.bye()
        peer.listen()
        assert peer.ended
        house.expect(7, said(7, 5))
        assert house.count("calls_total", end="bye") == 1


def test_eight_calls_at_once_do_not_mix(tmp_path: Path) -> None:
    """Eight calls share two contexts, and each gets its own words."""
    with serving(tmp_path) as house:
        callers = Group()
        for call_id in range(1, 9):
            style = "frames" if call_id % 2 else "chunks"
            callers.spawn(house.caller(call_id, speech(call_id, 30), style=style).run)
        callers.join(raise_error=True)
        for call_id in range(1, 9):
            house.expect(call_id, said(call_id, 30))


@pytest.mark.parametrize("end", [END_OF_STREAM, END_OF_STREAM_IN_THE_FIELD, b""])
def test_every_end_of_the_stream_is_understood(tmp_path: Path, end: bytes) -> None:
    """0xFFFFFFFF, a length of 0, and a closed direction all end the call with its tail."""
    with serving(tmp_path) as house, house.peer(7) as peer:
        peer.begin()
        peer.send_audio(speech(7, 8), 16_000)
        peer.send(end) if end else peer.shut()
        peer.listen()
        house.expect(7, said(7, 8))
        assert house.count("calls_total", end="end of stream") == 1


def test_the_audio_peer_is_told_its_text_and_the_end(tmp_path: Path) -> None:
    """Each transcription is written back as length + UTF-8, then 0xFFFFFFFF."""
    with serving(tmp_path) as house, house.peer(7) as peer:
        peer.begin()
        peer.send_audio(speech(7, 40), 320)
        peer.send_end()
        peer.listen()
        assert peer.ended
        house.expect(7, said(7, 40))
        assert peer.texts == house.sink.texts(7)


def test_a_peer_that_never_reads_disturbs_nobody(tmp_path: Path) -> None:
    """Its texts still reach LLaMA and the database, and the call ends."""
    with serving(tmp_path) as house, house.peer(7) as peer:
        peer.begin()
        peer.send_audio(speech(7, 40), 48_000)
        peer.send_end()
        house.expect(7, said(7, 40))


def test_another_call_id_in_hello_is_logged_and_the_registered_one_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The text belongs to the call that was registered, whatever its peer says it is."""
    with serving(tmp_path) as house, house.peer(7) as peer:
        peer.register()
        peer.accept()
        peer.send(peer.framed(b"8"))
        peer.send_audio(speech(7, 5), 320)
        peer.send_end()
        house.expect(7, said(7, 5))
        assert "call 7: the audio peer says it is call '8'" in caplog.messages


@pytest.mark.parametrize("length", [1, 1000])
def test_hello_may_have_any_length_of_1_to_1000(tmp_path: Path, length: int) -> None:
    """The longest and the shortest HELLO are followed by audio that counts."""
    with serving(tmp_path) as house, house.peer(7) as peer:
        peer.register()
        peer.accept()
        peer.send(peer.framed(b"7".rjust(length)))
        peer.send_audio(speech(7, 5), 320)
        peer.send_end()
        house.expect(7, said(7, 5))


def test_the_longest_chunk_is_taken(tmp_path: Path) -> None:
    """2 000 000 bytes, 31.25 s, in one chunk."""
    audio = speech(7, 157)[:500_000]
    with serving(tmp_path) as house, house.peer(7) as peer:
        peer.begin()
        peer.send(struct.pack(">I", 2_000_000) + audio.astype("<f4").tobytes())
        peer.send_end()
        house.expect(7, said(7, 156))


def test_texts_go_to_the_row_whose_id_is_the_call_id(tmp_path: Path) -> None:
    """The wire's call id is the row's id; a row whose SIP Call-ID looks the same is left alone."""
    with serving(tmp_path) as house:
        database = house.settings.database
        add_call(database, 7, "sip-of-7", "2026-01-01 00:00:00", "ended")
        add_call(database, 8, "7", "2026-01-01 00:00:00", "ended")
        house.caller(7, speech(7, 5)).run()
        house.expect(7, said(7, 5))
        assert house.in_database(8) == ""


def test_registration_repeated_and_out_of_order_makes_one_call(tmp_path: Path) -> None:
    """A BYE before the call, REGISTER three times and white space change nothing."""
    with serving(tmp_path) as house, house.peer(7) as peer:
        peer.bye()
        for datagram in (b"REGISTER:7", b" REGISTER:7\r\n", b"REGISTER: 7 "):
            peer.datagram(datagram)
        peer.begin()
        peer.register()
        peer.send_audio(speech(7, 5), 320)
        peer.send_end()
        peer.bye()
        peer.bye()
        house.expect(7, said(7, 5))
        assert not peer.has_a_caller()
        assert house.count("datagrams_malformed_total") == 0


def test_register_while_a_call_drains_starts_the_next_one_after_it(tmp_path: Path) -> None:
    """The next call of the id waits for the last words of the one before, then is connected."""
    with serving(tmp_path) as house, house.peer(7) as peer:
        house.script.hold()
        peer.begin()
        peer.send_audio(speech(7, 5), 320)
        peer.send_end()
        eventually(lambda: house.server.switchboard.sessions[7].is_ending, "draining")
        first = house.server.switchboard.sessions[7]
        peer.register()
        eventually(lambda: first.register_again, "REGISTER noticed")
        house.script.let_all()
        peer.accept()
        assert first.call.state == "closed"
        peer.send(peer.framed(b"7"))
        peer.send_audio(speech(7, 5, 5), 320)
        peer.send_end()
        house.expect(7, said(7, 10))


def test_a_bye_before_the_connection_answers_ends_the_registration(tmp_path: Path) -> None:
    """REGISTER for a port where nobody listens, then BYE: the call is forgotten."""
    with serving(tmp_path) as house:
        with house.peer(7) as peer:
            peer.datagram(b"REGISTER:8")
            eventually(lambda: house.state(8) == "registered", "REGISTER")
            peer.datagram(b"BYE:8")
            eventually(lambda: house.state(8) == "", "BYE")
        assert house.count("calls_total", end="never connected") == 1


def test_a_port_that_answers_later_is_connected_at_the_next_register(tmp_path: Path) -> None:
    """A REGISTER that comes before its listener is not the last chance."""
    with serving(tmp_path) as house:
        sessions = house.server.switchboard.sessions
        with house.peer(8) as other:
            other.datagram(b"REGISTER:7")
            eventually(lambda: house.count("notes_total", what="connect_failed") == 1, "refusal")
        assert not sessions[7].call.connecting
        house.caller(7, speech(7, 5)).run()
        house.expect(7, said(7, 5))


def test_utterances_with_nothing_in_between_are_transcribed_at_once(tmp_path: Path) -> None:
    """Speech, and then no chunk at all: its text comes while the call goes on."""
    with serving(tmp_path) as house, house.peer(7) as peer:
        peer.begin()
        peer.send_audio(np.concatenate([speech(7, 8), silence(0.2)]), 32_000)
        eventually(lambda: house.at_sink(7) == said(7, 8), "text of the first utterance")
        assert house.state(7) == "buffering"
        peer.send_end()


def test_a_chunk_is_not_looked_at_before_it_has_arrived(tmp_path: Path) -> None:
    """An utterance in one chunk is inferred once, at its pause: its rest is a moment away."""
    with serving(tmp_path) as house, house.peer(7) as peer:
        peer.begin()
        peer.send_audio(np.concatenate([speech(7, 12), silence(0.2)]), 48_000)
        eventually(lambda: house.at_sink(7) == said(7, 12), "text of the utterance")
        assert house.count("windows_total", cut="pause") == 1
        assert house.count("windows_total", cut="eager") == 0


def test_mode_chunk_transcribes_each_chunk_whole(tmp_path: Path) -> None:
    """The field's way, as a roll-back: a text per chunk, nothing overlapped."""
    with serving(tmp_path, mode="chunk", contexts=1) as house, house.peer(7) as peer:
        peer.begin()
        peer.send_audio(speech(7, 40), 48_000)
        peer.send_end()
        house.expect(7, said(7, 40))
        assert [len(text.split()) for text in house.sink.texts(7)] == [15, 15, 10]
