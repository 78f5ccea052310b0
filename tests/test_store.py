"""The SQLite store: the schema, whose row a text belongs to, and no text lost or doubled.

Every test works on a real file, and other processes are real second connections to it.
"""

import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import gevent
import pytest

from callfsm.errors import StoreError
from service.store.database import ActiveCall, Database, RefusedError
from service.store.store import MAX_BATCH, Store

NOON = datetime(2024, 5, 6, 12, 0, 0, tzinfo=UTC)
PATIENCE_S = 20  # a test that waits longer than this has failed

# What the service in the field leaves behind, as PROTOCOL.md §4 describes it.
FIELD_SCHEMA = """
    CREATE TABLE callers (id INTEGER PRIMARY KEY AUTOINCREMENT, phone_number TEXT UNIQUE,
        created_at TEXT NOT NULL, last_call TEXT NOT NULL);
    CREATE TABLE calls (id INTEGER PRIMARY KEY AUTOINCREMENT, call_id TEXT UNIQUE NOT NULL,
        caller_id INTEGER, line_id INTEGER, phone_number TEXT, start_time TEXT NOT NULL,
        end_time TEXT, transcription TEXT DEFAULT '', llama_response TEXT DEFAULT '',
        status TEXT DEFAULT 'active', FOREIGN KEY(caller_id) REFERENCES callers(id));
    CREATE TABLE system_config (key TEXT PRIMARY KEY, value TEXT NOT NULL,
        updated_at DATETIME DEFAULT CURRENT_TIMESTAMP);
    INSERT INTO calls (id, call_id, start_time, transcription, status) VALUES
        (1, 'a84b4c76e66710@sip', '2024-01-01 08:00:00', ' good morning', 'active'),
        (2, '40', '2024-01-01 08:01:00', NULL, 'active'),
        (3, '1', '2024-01-01 08:02:00', '', 'ended');
    INSERT INTO system_config (key, value) VALUES
        ('whisper_model_path', '/models/tiny.en.bin'), ('whisper_service_status', 'stopped');
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "whisper_talk.db"


@pytest.fixture
def other(path: Path) -> Iterator[sqlite3.Connection]:
    """The connection of another program, to a file that the field's service made."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.executescript(FIELD_SCHEMA)
    yield connection
    connection.close()


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    opened = Database(path, now=lambda: NOON, busy_timeout_ms=10)
    opened.open()
    yield opened
    opened.close()


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """A store that meets a locked database after 10 ms instead of 3 s."""
    opened = Store(path, now=lambda: NOON, busy_timeout_ms=10)
    yield opened
    opened.close(timeout_s=0)


def wait_until(condition: Callable[[], bool]) -> None:
    with gevent.Timeout(PATIENCE_S):
        while not condition():
            gevent.sleep(0.001)


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


class TestSchema:
    def test_columns(self, database: Database, path: Path) -> None:
        """A new file has the protocol's columns: name, type, NOT NULL, default, primary key."""
        wanted = {
            "callers": [
                ("id", "INTEGER", 0, None, 1),
                ("phone_number", "TEXT", 0, None, 0),
                ("created_at", "TEXT", 1, None, 0),
                ("last_call", "TEXT", 1, None, 0),
            ],
            "calls": [
                ("id", "INTEGER", 0, None, 1),
                ("call_id", "TEXT", 1, None, 0),
                ("caller_id", "INTEGER", 0, None, 0),
                ("line_id", "INTEGER", 0, None, 0),
                ("phone_number", "TEXT", 0, None, 0),
                ("start_time", "TEXT", 1, None, 0),
                ("end_time", "TEXT", 0, None, 0),
                ("transcription", "TEXT", 0, "''", 0),
                ("llama_response", "TEXT", 0, "''", 0),
                ("status", "TEXT", 0, "'active'", 0),
            ],
            "sip_lines": [
                ("line_id", "INTEGER", 0, None, 1),
                ("username", "TEXT", 1, None, 0),
                ("password", "TEXT", 0, None, 0),
                ("server_ip", "TEXT", 1, None, 0),
                ("server_port", "INTEGER", 1, "5060", 0),
                ("enabled", "BOOLEAN", 0, "0", 0),
                ("status", "TEXT", 0, "'disconnected'", 0),
                ("created_at", "DATETIME", 0, "CURRENT_TIMESTAMP", 0),
            ],
            "system_config": [
                ("key", "TEXT", 0, None, 1),
                ("value", "TEXT", 1, None, 0),
                ("updated_at", "DATETIME", 0, "CURRENT_TIMESTAMP", 0),
            ],
        }
        found = {t: [c[1:] for c in rows(path, f"PRAGMA table_info({t})")] for t in wanted}
        assert found == wanted
        tables = rows(path, "SELECT name FROM sqlite_master WHERE type = 'table'")
        assert {name for (name,) in tables} == set(wanted) | {"sqlite_sequence"}

    def test_indexes_and_keys(self, database: Database, path: Path) -> None:
        """A new file has the protocol's indexes, unique columns, foreign key and row counters."""
        indexes = rows(
            path,
            'SELECT m.name, l.name, i.name, l."unique" FROM sqlite_master m'
            " JOIN pragma_index_list(m.name) l JOIN pragma_index_info(l.name) i"
            " WHERE m.type = 'table' AND l.origin != 'pk'",
        )
        assert set(indexes) == {
            ("callers", "idx_phone_number", "phone_number", 0),
            ("callers", "sqlite_autoindex_callers_1", "phone_number", 1),
            ("calls", "idx_call_id", "call_id", 0),
            ("calls", "idx_caller_id", "caller_id", 0),
            ("calls", "sqlite_autoindex_calls_1", "call_id", 1),
            ("sip_lines", "idx_username", "username", 0),
        }
        foreign_keys = rows(path, "PRAGMA foreign_key_list(calls)")
        assert [key[2:5] for key in foreign_keys] == [("callers", "caller_id", "id")]
        counted = rows(path, "SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%'")
        assert {name for (name,) in counted} == {"callers", "calls", "sip_lines"}

    def test_connection(self, path: Path) -> None:
        """By default the file is in WAL mode, a commit is synchronous=NORMAL (1), and a write waits
        3 s for a lock, as PROTOCOL.md says."""
        store = Store(path)
        connection = store._database._connection

        def pragma(name: str) -> object:
            return connection.execute(f"PRAGMA {name}").fetchone()[0]

        assert store._in_thread(partial(pragma, "journal_mode")) == "wal"
        assert store._in_thread(partial(pragma, "synchronous")) == 1
        assert store._in_thread(partial(pragma, "busy_timeout")) == 3000
        store.close(timeout_s=0)

    def test_field_database_is_left_alone(self, other: sqlite3.Connection, path: Path) -> None:
        """Opening a file of the field's service adds the tables it lacks and touches no other."""
        before = other.execute("SELECT name, sql FROM sqlite_master").fetchall()
        data = list(other.iterdump())
        database = Database(path)
        database.open()
        database.close()
        after = other.execute("SELECT name, sql FROM sqlite_master").fetchall()
        assert {name for name, _ in set(after) - set(before)} == {"sip_lines", "idx_username"}
        assert set(before) <= set(after)
        assert set(data) <= set(other.iterdump())

    def test_opening_again_needs_no_lock(self, database: Database, path: Path) -> None:
        """A complete database can be opened while another process holds the write lock."""
        with database.transaction():
            second = Database(path, busy_timeout_ms=0)
            second.open()
            assert second.active_calls() == []
            second.close()


class TestUnusableFile:
    def open_fails(self, path: Path) -> str:
        with pytest.raises(StoreError) as failure:
            Database(path, busy_timeout_ms=0).open()
        sentence = str(failure.value)
        assert str(path) in sentence
        assert "\n" not in sentence
        return sentence

    def test_not_a_database(self, path: Path) -> None:
        """A file that is no database is refused by name, and not overwritten."""
        path.write_text("dear diary, " * 500)
        assert "is not a SQLite database" in self.open_fails(path)
        assert path.read_text() == "dear diary, " * 500

    def test_directory(self, tmp_path: Path) -> None:
        """A path that is a directory is refused."""
        assert "is a directory" in self.open_fails(tmp_path)

    def test_missing_directory(self, tmp_path: Path) -> None:
        """A file in a directory that does not exist is refused, naming the directory."""
        assert f"{tmp_path / 'none'}, which must exist" in self.open_fails(tmp_path / "none" / "db")

    def test_unwritable_directory(self, tmp_path: Path) -> None:
        """A file that this user may not create is refused, saying what right is missing."""
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o500)
        nobody = 65_534  # root may write anywhere, so root steps down for the test
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(nobody)
        try:
            assert "must be able to write" in self.open_fails(closed / "db")
        finally:
            if is_root:
                os.seteuid(0)

    def test_read_only_file(self, path: Path, database: Database) -> None:
        """A connection that may not write says so at the first write."""
        database._connection.execute("PRAGMA query_only=ON")
        with pytest.raises(StoreError, match=r"whisper_talk\.db is read-only"):
            database.set_service_status("starting")

    @pytest.mark.parametrize(
        ("table", "column"), [("calls", "transcription"), ("system_config", "updated_at")]
    )
    def test_lacking_column(
        self, other: sqlite3.Connection, path: Path, table: str, column: str
    ) -> None:
        """A table without a column that the service needs is refused, naming both."""
        other.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        assert f"table {table} lacks {column}" in self.open_fails(path)

    def test_store(self, path: Path) -> None:
        """The store's constructor raises the same error, in the calling greenlet."""
        path.write_text("dear diary, " * 500)
        with pytest.raises(StoreError, match="is not a SQLite database"):
            Store(path)


class TestDatabase:
    def test_append_by_row_id(self, other: sqlite3.Connection, database: Database) -> None:
        """The wire's id is the row's id, even where another row has it as its text."""
        database.append_transcription(1, "how are you")
        assert database.transcription(1) == " good morning how are you"
        assert other.execute("SELECT transcription FROM calls WHERE id = 3").fetchone() == ("",)

    def test_append_by_call_id_text(self, other: sqlite3.Connection, database: Database) -> None:
        """Without a row of that id, the row whose call_id is the text takes it, NULL or not."""
        database.append_transcription(40, "hello")
        database.append_transcription(40, "there")
        assert database.transcription(40) == " hello there"
        assert other.execute("SELECT transcription FROM calls WHERE id = 2").fetchone() == (
            " hello there",
        )
        assert other.execute("SELECT count(*) FROM calls").fetchone() == (3,)

    def test_append_without_row(self, path: Path) -> None:
        """Without any row one is created, active from now in UTC, so that no text is lost."""
        in_berlin = NOON.astimezone(timezone(timedelta(hours=2)))
        database = Database(path, now=lambda: in_berlin)
        database.open()
        database.append_transcription(7, "it's 5 o'clock; DROP TABLE calls")
        database.close()
        columns = "id, call_id, start_time, end_time, transcription, llama_response, status"
        text = " it's 5 o'clock; DROP TABLE calls"
        assert rows(path, f"SELECT {columns} FROM calls") == [
            (7, "7", "2024-05-06 12:00:00", None, text, "", "active")
        ]

    def test_unknown_call_has_no_text(self, database: Database) -> None:
        """The transcription of a call without a row is empty."""
        assert database.transcription(99) == ""

    def test_active_calls(self, other: sqlite3.Connection, database: Database) -> None:
        """Active calls are those with status 'active', the newest first, with their start."""
        assert database.active_calls() == [
            ActiveCall(2, "2024-01-01 08:01:00"),
            ActiveCall(1, "2024-01-01 08:00:00"),
        ]

    def test_active_calls_are_read_when_something_has_changed(
        self, other: sqlite3.Connection, database: Database
    ) -> None:
        """Once a second the table, which only grows, would keep the texts' thread: it is read again
        only after another program's commit, or an insert or an end of our own."""
        statements: list[str] = []
        database._connection.set_trace_callback(statements.append)

        def look() -> tuple[list[int], bool]:
            """The active calls, and whether the table was read for them."""
            statements.clear()
            ids = [call.id for call in database.active_calls()]
            return ids, any("FROM calls" in statement for statement in statements)

        assert look() == ([2, 1], True)
        assert look() == ([2, 1], False)
        database.append_transcription(1, "hello")
        database.set_service_status("running")
        assert look() == ([2, 1], False)
        other.execute("UPDATE calls SET status = 'ended' WHERE id = 2")
        assert look() == ([1], True)
        database.append_transcription(7, "hello")
        assert look() == ([7, 1], True)
        database.end_call(7)
        assert look() == ([1], True)
        assert look() == ([1], False)

    def test_active_calls_forget_what_was_rolled_back(
        self, other: sqlite3.Connection, database: Database
    ) -> None:
        """A row seen inside the transaction that makes it is gone with it."""
        with suppress(KeyboardInterrupt), database.transaction():
            database.append_transcription(7, "hello")
            assert [call.id for call in database.active_calls()] == [7, 2, 1]
            raise KeyboardInterrupt
        assert [call.id for call in database.active_calls()] == [2, 1]

    def test_end_own_row(self, database: Database, path: Path) -> None:
        """The row that the service created is ended by the service."""
        database.append_transcription(7, "bye")
        database.end_call(7)
        assert rows(path, "SELECT status, end_time FROM calls") == [
            ("ended", "2024-05-06 12:00:00")
        ]

    def test_end_foreign_row(self, other: sqlite3.Connection, database: Database) -> None:
        """A row of the telephone side is never ended here, whichever way it matches."""
        for call_id in (1, 40, 99):
            database.append_transcription(1, "bye")
            database.append_transcription(40, "bye")
            database.end_call(call_id)
        assert len(database.active_calls()) == 2

    def test_rolled_back_row_is_not_owned(
        self, other: sqlite3.Connection, database: Database
    ) -> None:
        """A row whose creation was rolled back, then made by the telephone side, is not ended."""
        with suppress(KeyboardInterrupt), database.transaction():
            database.append_transcription(7, "hello")
            raise KeyboardInterrupt
        assert database.transcription(7) == ""
        other.execute("INSERT INTO calls (id, call_id, start_time) VALUES (7, 'sip-7', 'now')")
        database.end_call(7)
        assert 7 in [call.id for call in database.active_calls()]

    def test_service_status(self, other: sqlite3.Connection, database: Database) -> None:
        """The status replaces the former one, with the time of the change."""
        database.set_service_status("starting")
        database.set_service_status("running")
        status = "SELECT value, updated_at FROM system_config WHERE key = 'whisper_service_status'"
        assert other.execute(status).fetchall() == [("running", "2024-05-06 12:00:00")]

    def test_read_config(self, other: sqlite3.Connection, database: Database) -> None:
        """A value set by another program is read, and an absent key is None."""
        assert database.read_config("whisper_model_path") == "/models/tiny.en.bin"
        assert database.read_config("whisper_service_enabled") is None

    def test_locked(self, other: sqlite3.Connection, database: Database) -> None:
        """A lock held longer than the busy time-out is one sentence, and reading still works."""
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"whisper_talk\.db is locked by another process"):
            database.append_transcription(1, "hello")
        assert len(database.active_calls()) == 2

    @pytest.mark.parametrize(("call_id", "text"), [(2**63, "too large"), (1, "lone \ud800")])
    def test_refused(self, database: Database, call_id: int, text: str) -> None:
        """A value that SQLite can never hold is told apart from one to be tried again."""
        with pytest.raises(RefusedError, match=f"call {call_id}"):
            database.append_transcription(call_id, text)
        database.append_transcription(1, "fine")
        assert database.transcription(1) == " fine"


class TestStore:
    def test_order(self, store: Store) -> None:
        """Each call's texts are written in the order of appending, trimmed, empty ones skipped."""
        for number in range(3 * MAX_BATCH):
            store.append(number % 3, f" {number}\n")
            store.append(number % 3, "  ")
        assert store.pending == 3 * MAX_BATCH
        assert store.flush(PATIENCE_S)
        assert (store.pending, store.written, store.retries) == (0, 3 * MAX_BATCH, 0)
        for call_id in range(3):
            numbers = range(call_id, 3 * MAX_BATCH, 3)
            assert store.transcription(call_id) == "".join(f" {n}" for n in numbers)

    def test_one_transaction_per_batch(self, store: Store) -> None:
        """Texts that wait together are committed together."""
        statements: list[str] = []
        store._in_thread(lambda: store._database._connection.set_trace_callback(statements.append))
        for number in range(MAX_BATCH + 1):
            store.append(number, "word")
        store.flush(PATIENCE_S)
        assert statements.count("COMMIT") == 2

    def test_end_after_texts(self, store: Store, path: Path) -> None:
        """The end of a call is written after its texts, in the same batch or not."""
        store.append(7, "last words")
        store.end_call(7)
        store.flush(PATIENCE_S)
        assert rows(path, "SELECT transcription, status FROM calls") == [(" last words", "ended")]
        assert store.written == 1

    def test_same_call_again(self, store: Store, path: Path) -> None:
        """A call id that ended may come again; its text goes to the same row."""
        for text in ("first", "second"):
            store.append(7, text)
            store.end_call(7)
        store.flush(PATIENCE_S)
        assert rows(path, "SELECT transcription, status FROM calls") == [(" first second", "ended")]

    def test_pass_through(self, other: sqlite3.Connection, store: Store) -> None:
        """Reading, configuration and the service's status go through the same thread."""
        store.set_status("running")
        assert store.read_config("whisper_service_status") == "running"
        assert [call.id for call in store.active_calls()] == [2, 1]

    def test_hub_runs_while_locked(self, other: sqlite3.Connection, path: Path) -> None:
        """While a write waits for the lock greenlets run: one of them releases it, so that the
        first attempt succeeds (a blocked hub could release it only after a failed one)."""
        store = Store(path)
        other.execute("BEGIN IMMEDIATE")

        def release() -> None:
            for _ in range(100):
                gevent.sleep(0)
            other.execute("ROLLBACK")

        store.append(1, "hello")
        status = gevent.spawn(store.set_status, "running")
        releasing = gevent.spawn(release)
        assert store.flush(PATIENCE_S)
        for greenlet in (status, releasing):
            greenlet.get(timeout=PATIENCE_S)
        assert store.retries == 0
        assert store.read_config("whisper_service_status") == "running"
        store.close(timeout_s=0)

    def test_locked_for_long(
        self, other: sqlite3.Connection, store: Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Under a lock that outlasts several attempts nothing is lost, doubled or reordered; the
        log says once that it waits and once that it goes on, with the call ids."""
        caplog.set_level(logging.INFO, logger="service.store.store")
        other.execute("BEGIN IMMEDIATE")
        store.append(1, "how")
        store.append(40, "hello")
        wait_until(lambda: store.retries >= 1)
        store.append(1, "are")
        assert not store.flush(timeout_s=0)
        wait_until(lambda: store.retries >= 2)
        assert (store.pending, store.written) == (3, 0)
        other.execute("ROLLBACK")
        store.append(1, "you")
        assert store.flush(PATIENCE_S)
        assert store.transcription(1) == " good morning how are you"
        assert store.transcription(40) == " hello"
        assert (store.written, store.lost) == (4, 0)
        waits, goes_on = (record.getMessage() for record in caplog.records)
        assert waits.startswith("calls 1, 40: text waits in memory: ")
        assert "locked" in waits
        assert goes_on == "calls 1, 40: text is being written again"

    def test_other_errors_are_retried(self, other: sqlite3.Connection, store: Store) -> None:
        """An error in the middle of a batch undoes the whole batch, which is then written once."""
        other.execute("ALTER TABLE calls RENAME TO calls_away")
        store.append(1, "how")
        store.append(1, "are you")
        wait_until(lambda: store.retries >= 1)
        other.execute("ALTER TABLE calls_away RENAME TO calls")
        assert store.flush(PATIENCE_S)
        assert store.transcription(1) == " good morning how are you"

    def test_disk_full(self, store: Store, caplog: pytest.LogCaptureFixture) -> None:
        """On a full disk the text waits until there is room."""
        store.append(1, "hello")
        store.flush(PATIENCE_S)
        connection = store._database._connection
        limit = "PRAGMA max_page_count="
        store._in_thread(lambda: connection.execute(limit + "1"))  # the present size
        long = "x" * 20_000
        store.append(1, long)
        wait_until(lambda: store.retries >= 1)
        assert "cannot grow; free space" in caplog.text
        store._in_thread(lambda: connection.execute(limit + "100000"))
        assert store.flush(PATIENCE_S)
        assert store.transcription(1) == f" hello {long}"

    def test_refused_text_holds_up_nobody(
        self, store: Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        """One call's unwritable text is logged in full and counted; the others are written."""
        store.append(1, "before")
        store.append(2, "lone \ud800")
        store.append(1, "after")
        assert store.flush(PATIENCE_S)
        assert store.transcription(1) == " before after"
        assert (store.written, store.lost, store.retries) == (2, 1, 0)
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert "call 2: " in record.getMessage()
        assert r"lone \ud800" in record.getMessage()

    def test_close_flushes(self, path: Path) -> None:
        """Closing writes what waits, and closing twice is closing once."""
        store = Store(path)
        store.append(1, "last words")
        store.close(PATIENCE_S)
        store.close(PATIENCE_S)
        assert rows(path, "SELECT transcription FROM calls") == [(" last words",)]

    def test_close_under_lock(
        self, other: sqlite3.Connection, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What cannot be written by the end is logged as an error, one by one, with call id."""
        store = Store(path, busy_timeout_ms=10)
        other.execute("BEGIN IMMEDIATE")
        store.append(1, "lost one")
        store.append(40, "lost two")
        store.end_call(40)
        wait_until(lambda: store.retries >= 1)
        caplog.clear()
        store.close(timeout_s=0.01)
        errors = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
        assert [e.split(":")[0] for e in errors] == ["call 1", "call 40", "call 40"]
        assert "'lost one'" in errors[0]
        assert "'lost two'" in errors[1]
        assert all("locked" in error for error in errors)
        assert (store.pending, store.lost) == (0, 2)

    def test_after_close(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """After closing a text is logged as lost, and a question is a StoreError."""
        store = Store(path)
        store.close(timeout_s=0)
        store.append(5, "too late")
        assert "call 5: text not in the database: the store is closed: 'too late'" in caplog.text
        with pytest.raises(StoreError, match="is closed"):
            store.active_calls()

    def test_two_processes(self, path: Path) -> None:
        """Two processes that create the file and write to one row at once lose nothing."""
        program = (
            "import sys; from pathlib import Path; from service.store.store import Store\n"
            "sys.stdin.readline(); store = Store(Path(sys.argv[1]))\n"
            "for n in range(300): store.append(1, f'{sys.argv[2]}{n}'); store.flush(30)\n"
            "store.close(30); assert store.written == 300"
        )
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", program, str(path), name], stdin=subprocess.PIPE
            )
            for name in "ab"
        ]
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write(b"go\n")
            writer.stdin.flush()
        for writer in writers:
            writer.communicate(timeout=60)
        assert [writer.returncode for writer in writers] == [0, 0]
        ((text,),) = rows(path, "SELECT transcription FROM calls")
        pieces = str(text).split()
        for name in "ab":
            assert [p for p in pieces if p[0] == name] == [f"{name}{n}" for n in range(300)]
