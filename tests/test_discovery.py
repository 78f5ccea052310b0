"""Calls found in the database: connected without a datagram, and never twice for one row."""

import logging
from pathlib import Path

import gevent
import pytest
from raw_peer import RawPeer
from server_fixture import House, add_call, eventually, said, serving, speech

from callfsm.errors import StoreError
from callfsm.inference.admission import Refusal
from service import discovery, switchboard
from service.discovery import Discovery
from service.store.database import ActiveCall
from service.store.store import Store

START = "2026-01-01 00:00:00"
LATER = "2026-01-01 00:05:00"


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look many times a second instead of once."""
    monkeypatch.setattr(discovery, "EVERY_S", 0.01)


@pytest.fixture
def announced(tmp_path: Path) -> tuple[Discovery, list[int]]:
    """A discovery that is told of rows by hand, and what it announced."""
    heard: list[int] = []
    store = Store(tmp_path / "whisper_talk.db")
    return Discovery(store, heard.append), heard


def test_an_active_row_is_a_call_without_any_datagram(tmp_path: Path, often: None) -> None:
    """The audio port of an active row is connected, and its text goes to that row."""
    with serving(tmp_path) as house, house.peer(7) as peer:
        add_call(house.settings.database, 7, "sip-of-7", START, "active")
        peer.accept()
        peer.send(peer.framed(b"7"))
        peer.send_audio(speech(7, 5), 320)
        peer.send_end()
        house.expect(7, said(7, 5))


def test_a_row_that_stays_active_is_not_called_again(tmp_path: Path, often: None) -> None:
    """The call is over though its row says active: rows after it are tried, this one is not."""
    with serving(tmp_path) as house, house.peer(7) as peer:
        add_call(house.settings.database, 7, "sip-of-7", START, "active")
        peer.accept()
        peer.shut()
        eventually(lambda: house.state(7) == "", "end of call 7")
        for other in (8, 9):  # each needs a look at all rows
            with house.peer(other) as looked_at:
                add_call(house.settings.database, other, f"sip-of-{other}", START, "active")
                looked_at.accept()
        assert not peer.has_a_caller()
        peer.register()
        peer.accept()


def test_ended_and_missed_rows_are_left_alone(tmp_path: Path, often: None) -> None:
    """Only rows that are active are tried."""
    with serving(tmp_path) as house, house.peer(7) as ended, house.peer(8) as missed:
        add_call(house.settings.database, 7, "sip-of-7", START, "ended")
        add_call(house.settings.database, 8, "sip-of-8", START, "missed")
        with house.peer(9) as active:
            add_call(house.settings.database, 9, "sip-of-9", START, "active")
            active.accept()
        assert not ended.has_a_caller()
        assert not missed.has_a_caller()


def test_rows_whose_port_cannot_exist_are_passed_over(tmp_path: Path, often: None) -> None:
    """Row ids grow beyond the last port; the rows after them are still tried."""
    with serving(tmp_path) as house, house.peer(7) as peer:
        for call_id in (-1, 0, 60_000, 2**62):
            add_call(house.settings.database, call_id, f"sip-of-{call_id}", START, "active")
        add_call(house.settings.database, 7, "sip-of-7", START, "active")
        peer.accept()
        assert set(house.server.switchboard.sessions) == {7}


def test_rows_that_stay_active_do_not_keep_new_calls_out(tmp_path: Path, often: None) -> None:
    """A process that died left more active rows than there may be calls: the newest is called."""
    with serving(tmp_path, max_calls=2) as house, house.peer(9) as peer:
        for stale in range(1, 8):
            add_call(house.settings.database, stale, f"sip-of-{stale}", START, "active")
        add_call(house.settings.database, 9, "sip-of-9", LATER, "active")
        peer.accept()


def test_a_row_takes_no_room_of_the_calls_that_register(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, often: None
) -> None:
    """Nobody may be there: whether a call can be borne is asked when it registers, even if its row
    is known."""
    asked: list[int] = []

    def refuse(calls: int) -> Refusal:
        asked.append(calls)
        return Refusal.CROWD

    with serving(tmp_path) as house, house.peer(7) as peer:
        monkeypatch.setattr(house.server._inference, "refuses_call", refuse)
        for call_id in (7, 8):  # nobody listens for 8
            add_call(house.settings.database, call_id, f"sip-of-{call_id}", START, "active")
        peer.accept()
        eventually(lambda: house.count("notes_total", what="connect_failed") > 0, "call 8")
        assert asked == []

        def is_refused() -> bool:
            peer.datagram(b"REGISTER:8")  # in vain while the row has it connecting
            return house.count("calls_refused_total", reason="crowd") == 1

        eventually(is_refused, "refused")
        assert set(asked) == {1}


def test_a_call_that_was_refused_is_left_to_its_register(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, often: None
) -> None:
    """Not by its row, or nobody would ever be refused; but by its row when it registers no more."""
    with serving(tmp_path) as house, house.peer(7) as refused:
        with monkeypatch.context() as full:
            full.setattr(house.server._inference, "refuses_call", lambda calls: Refusal.LATE)
            refused.register()
            eventually(lambda: house.count("calls_refused_total", reason="late") == 1, "refused")
        add_call(house.settings.database, 7, "sip-of-7", START, "active")
        with house.peer(8) as other:
            add_call(house.settings.database, 8, "sip-of-8", START, "active")
            other.accept()
        assert not refused.has_a_caller()
        monkeypatch.setattr(switchboard, "STILL_ASKS_S", 0.0)
        refused.accept()


def test_rows_beyond_the_limit_are_passed_over_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, often: None
) -> None:
    """As many calls as are allowed are connected: the row waits, and is no refused call."""
    with serving(tmp_path, max_calls=1) as house, house.peer(7) as here, house.peer(8) as row:
        here.begin()
        eventually(lambda: house.state(7) == "buffering", "connected")
        add_call(house.settings.database, 8, "sip-of-8", START, "active")
        assert not row.has_a_caller()
        assert house.count("calls_refused_total", reason="limit") == 0
        assert "refused" not in caplog.text
        here.send_end()
        row.accept()


def test_a_row_that_nobody_answers_fills_no_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, often: None
) -> None:
    """It is tried each second: that it was in vain is told at level DEBUG."""
    caplog.set_level(logging.DEBUG)
    with serving(tmp_path) as house:
        add_call(house.settings.database, 7, "sip-of-7", START, "active")
        eventually(lambda: house.count("notes_total", what="connect_failed") > 3, "four attempts")
    told = [record for record in caplog.records if "connect failed" in record.getMessage()]
    assert {record.levelno for record in told} == {logging.DEBUG}


def test_a_row_that_stays_active_is_announced_less_and_less_often(
    announced: tuple[Discovery, list[int]],
) -> None:
    """At each look of a minute, then each time when it is known for a quarter longer."""
    finder, heard = announced
    for _ in range(60):
        finder.look([ActiveCall(7, START)])
    assert len(heard) == 60
    for _ in range(3540):
        finder.look([ActiveCall(7, START)])
    assert 60 + 15 < len(heard) < 60 + 22
    for _ in range(4):
        finder.look([ActiveCall(7, LATER)])
    assert heard[-4:] == [7, 7, 7, 7]


def test_a_row_that_cannot_be_called_is_none_of_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of ours with one row is logged, and the rows after it are announced."""
    heard: list[int] = []

    def announce(call_id: int) -> None:
        if call_id == 8:
            raise RuntimeError("a bug")
        heard.append(call_id)

    Discovery(Store(tmp_path / "whisper_talk.db"), announce).look(
        [ActiveCall(8, START), ActiveCall(7, START)]
    )
    assert heard == [7]
    assert "call 8: its row is active, but no call was made" in caplog.messages


def test_a_row_that_changed_is_a_new_call(announced: tuple[Discovery, list[int]]) -> None:
    """After its end the row is announced again only when it starts anew."""
    finder, heard = announced
    finder.look([ActiveCall(7, START)])
    finder.call_ended(7)
    finder.look([ActiveCall(7, START)])
    finder.look([ActiveCall(7, START)])
    assert heard == [7]
    finder.look([ActiveCall(7, LATER)])
    assert heard == [7, 7]


def speak_found(house: House, peer: RawPeer) -> None:
    """Call 7 is found by its row, and heard."""
    add_call(house.settings.database, 7, "sip-of-7", START, "active")
    peer.accept()
    peer.send(peer.framed(b"7"))
    peer.send_audio(speech(7, 5), 320)
    eventually(lambda: house.state(7) == "buffering", "audio of call 7")


def test_a_call_that_broke_off_is_found_again(tmp_path: Path, often: None) -> None:
    """The connection was lost, and nobody hung up: the caller may be there, and REGISTER has ended
    with the first connection."""
    with serving(tmp_path) as house, house.peer(7) as peer:
        speak_found(house, peer)
        peer.reset()
        peer.accept()


def test_a_caller_who_hung_up_is_over_however_the_connection_ends(
    tmp_path: Path, often: None
) -> None:
    """Peers that do not read what we write reset the connection after their BYE."""
    with serving(tmp_path) as house, house.peer(7) as peer:
        speak_found(house, peer)
        peer.bye()
        eventually(lambda: house.server.switchboard.sessions[7].call.bye, "BYE of call 7")
        peer.reset()
        eventually(lambda: house.state(7) == "", "end of call 7")
        with house.peer(8) as other:  # found by a look at all rows
            add_call(house.settings.database, 8, "sip-of-8", START, "active")
            other.accept()
        assert not peer.has_a_caller()


def test_a_call_may_break_during_a_look(announced: tuple[Discovery, list[int]]) -> None:
    """Looks let others run between the rows: the row is announced at the next one."""
    finder, heard = announced
    gevent.spawn(finder.call_broke, 7)
    finder.look([ActiveCall(9, START), ActiveCall(7, START)])
    finder.look([ActiveCall(7, START)])
    assert heard == [9, 7, 7]


def test_a_second_call_of_a_row_may_break(announced: tuple[Discovery, list[int]]) -> None:
    """The first was over; of the second, which a REGISTER began, the row is announced."""
    finder, heard = announced
    finder.call_ended(7)
    finder.look([ActiveCall(7, START)])
    finder.call_broke(7)
    finder.look([ActiveCall(7, START)])
    assert heard == [7]


def test_a_row_known_for_long_is_new_when_its_call_breaks(
    announced: tuple[Discovery, list[int]],
) -> None:
    """It is announced at the next look, however long ago it was announced first."""
    finder, heard = announced
    for _ in range(100):
        finder.look([ActiveCall(7, START), ActiveCall(8, START)])
    heard.clear()
    finder.call_broke(7)
    finder.look([ActiveCall(7, START), ActiveCall(8, START)])
    assert heard == [7]


def test_a_row_that_was_inactive_in_between_is_a_new_call(
    announced: tuple[Discovery, list[int]],
) -> None:
    """A row that left the active ones and came back is announced."""
    finder, heard = announced
    finder.call_ended(7)
    finder.look([ActiveCall(7, START)])
    assert heard == []
    finder.look([])
    finder.look([ActiveCall(7, START)])
    assert heard == [7]


def test_discovery_outlives_a_database_that_fails(
    announced: tuple[Discovery, list[int]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    often: None,
) -> None:
    """A look that fails is logged; the next one finds the calls."""
    finder, heard = announced
    answers: list[StoreError | list[ActiveCall]] = [
        StoreError("whisper_talk.db is locked"),
        [ActiveCall(7, START)],
    ]

    def active_calls(_: Store) -> list[ActiveCall]:
        answer = answers.pop(0) if answers else []
        if isinstance(answer, StoreError):
            raise answer
        return answer

    monkeypatch.setattr(Store, "active_calls", active_calls)
    caplog.set_level(logging.WARNING)
    finder.start()
    eventually(lambda: heard == [7], "call 7")
    finder.stop()
    gevent.sleep(0)
    assert "discovery: whisper_talk.db is locked" in caplog.messages
