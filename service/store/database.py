"""The shared SQLite file as this service uses it: synchronous, one connection, one thread.

Plain SQL on the standard library's `sqlite3`, because that is the whole job: a handful of
statements, a schema owned by somebody else, one thread. An object-relational layer would bring a
second description of that schema and a connection pool, and neither has a use here.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from callfsm.errors import StoreError
from service.store.schema import NEEDED_COLUMNS, STATEMENTS

BUSY_TIMEOUT_MS = 3_000  # PROTOCOL.md §4
TRY_AGAIN_S = 0.01  # to make the file a WAL one
STATUS_KEY = "whisper_service_status"  # PROTOCOL.md §4, the one key this service owns

ServiceStatus = Literal["starting", "running", "stopped", "error"]

# What an operator can do, by SQLite's primary result code; {path} and {directory} are filled in.
_ADVICE = {
    sqlite3.SQLITE_NOTADB: "{path} is not a SQLite database; give another path or move it away",
    sqlite3.SQLITE_CANTOPEN: "{path} cannot be opened; this user must be able to write the file "
    "and its directory {directory}, which must exist",
    sqlite3.SQLITE_READONLY: "{path} is read-only; this user must be able to write the file and "
    "its directory {directory}",
    sqlite3.SQLITE_BUSY: "{path} is locked by another process; see which one holds a write "
    "transaction open",
    sqlite3.SQLITE_FULL: "{path} cannot grow; free space on its disk",
    sqlite3.SQLITE_CORRUPT: "{path} is damaged; restore it from a copy",
}
_OTHER_ADVICE = "{path} fails ({error}); check its schema and its disk"


class RefusedError(StoreError):
    """The database will not take this value however often it is tried; others are unaffected."""


@dataclass(frozen=True, slots=True)
class ActiveCall:
    """A call the telephone side has marked active: its row id (the wire's call id) and its start,
    UTC `YYYY-MM-DD HH:MM:SS` as stored."""

    id: int
    start_time: str


def utc_now() -> datetime:
    """The wall clock, time-zone aware."""
    return datetime.now(UTC)


class Database:
    """One connection to `path`, to be opened, used and closed in one and the same thread.

    Every method raises StoreError, one sentence naming the path; writes raise RefusedError when
    trying again is useless. `now` returns time-zone aware times. A write waits `busy_timeout_ms`
    for another process's transaction to end.
    """

    def __init__(
        self,
        path: Path,
        now: Callable[[], datetime] = utc_now,
        busy_timeout_ms: int = BUSY_TIMEOUT_MS,
    ) -> None:
        self.path = path
        self._now = now
        self._busy_timeout_ms = busy_timeout_ms
        self._rows_made: set[int] = set()  # ids of `calls` that this service had to create
        # The active calls and the file's version when they were read; None: a status has changed.
        self._active: tuple[object, list[ActiveCall]] | None = None

    def open(self) -> None:
        """Connect, and create the tables that are absent."""
        if os.path.isdir(self.path):
            raise StoreError(f"{self.path} is a directory; give the path of a file")
        with self._explained():
            self._connection = sqlite3.connect(
                self.path, timeout=self._busy_timeout_ms / 1000, isolation_level=None
            )
        try:
            with self._explained():
                self._switch_to_wal()
                self._connection.execute("PRAGMA synchronous=NORMAL")
                self._create_absent_tables()
            self._check_columns()
        except StoreError:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        with self._explained():
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes inside are committed together, or none is. Inside another one, joins it."""
        if self._connection.in_transaction:
            yield
            return
        rows_made = self._rows_made.copy()
        with self._explained():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                self._rows_made = rows_made
                self._active = None
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def append_transcription(self, call_id: int, text: str) -> None:
        """Append one space and `text` to the call's transcription.

        The row is the one whose `id` is `call_id`, else the one whose `call_id` is its text, else
        a new one (whose `call_id` text is free, or it would have been found).
        """
        piece = f" {text}"
        with self.transaction(), self._refusing(f"call {call_id}"):
            if self._extend("id", call_id, piece) or self._extend("call_id", str(call_id), piece):
                return
            self._active = None
            self._connection.execute(
                "INSERT INTO calls (id, call_id, start_time, transcription, status)"
                " VALUES (?, ?, ?, ?, 'active')",
                (call_id, str(call_id), self._timestamp(), piece),
            )
            self._rows_made.add(call_id)

    def transcription(self, call_id: int) -> str:
        """The text of the call so far, found as `append_transcription` finds it; "" without one."""
        row = self._first(
            "SELECT transcription FROM calls WHERE id = ? OR call_id = ? ORDER BY id = ? DESC",
            (call_id, str(call_id), call_id),
        )
        return str(row[0] or "") if row else ""

    def active_calls(self) -> list[ActiveCall]:
        """The calls marked active, the newest first.

        The table has no index on the status, and keeps every call there ever was. So it is read
        only when another connection has committed, or this object has changed a status, since then.
        """
        version = self._first("PRAGMA data_version", ())  # our own commits leave it as it is
        if self._active is None or self._active[0] != version:
            with self._explained():
                rows = self._connection.execute(
                    "SELECT id, start_time FROM calls WHERE status = 'active' ORDER BY id DESC"
                ).fetchall()
            self._active = version, [ActiveCall(*row) for row in rows]
        return self._active[1]

    def end_call(self, call_id: int) -> None:
        """Mark the call ended if its row is one this object created. Any other row belongs to the
        telephone side, which ends it itself."""
        if call_id not in self._rows_made:
            return
        with self.transaction(), self._refusing(f"call {call_id}"):
            self._active = None
            self._connection.execute(
                "UPDATE calls SET status = 'ended', end_time = ? WHERE id = ?",
                (self._timestamp(), call_id),
            )

    def set_service_status(self, status: ServiceStatus) -> None:
        """Tell the other programs how this service is."""
        with self.transaction(), self._refusing(STATUS_KEY):
            self._connection.execute(
                "INSERT INTO system_config (key, value, updated_at) VALUES (?, ?, ?)"
                " ON CONFLICT(key) DO UPDATE"
                " SET value = excluded.value, updated_at = excluded.updated_at",
                (STATUS_KEY, status, self._timestamp()),
            )

    def read_config(self, key: str) -> str | None:
        """The value of `key` in `system_config`, None without one."""
        row = self._first("SELECT value FROM system_config WHERE key = ?", (key,))
        return str(row[0]) if row else None

    def _switch_to_wal(self) -> None:
        """SQLite does not wait by itself for another process that does the same to a new file."""
        give_up_s = time.monotonic() + self._busy_timeout_ms / 1000
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not is_busy or time.monotonic() >= give_up_s:
                    raise
            time.sleep(TRY_AGAIN_S)

    def _create_absent_tables(self) -> None:
        present = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_master")}
        absent = [table for table in STATEMENTS if table not in present]
        if not absent:
            return  # without asking for the write lock: a busy database can still be opened
        with self.transaction():
            for table in absent:
                for statement in STATEMENTS[table]:
                    self._connection.execute(statement)

    def _check_columns(self) -> None:
        for table, needed in NEEDED_COLUMNS.items():
            with self._explained():
                rows = self._connection.execute(f"PRAGMA table_info({table})").fetchall()
            missing = sorted(needed - {name for _, name, *_ in rows})
            if missing:
                raise StoreError(
                    f"{self.path}: table {table} lacks {', '.join(missing)};"
                    " give the path of a database with the schema of PROTOCOL.md"
                )

    def _extend(self, column: Literal["id", "call_id"], key: int | str, piece: str) -> bool:
        done = self._connection.execute(
            f"UPDATE calls SET transcription = coalesce(transcription, '') || ? WHERE {column} = ?",
            (piece, key),
        )
        return done.rowcount > 0

    def _first(self, query: str, values: tuple[object, ...]) -> tuple[object, ...] | None:
        with self._explained():
            row: tuple[object, ...] | None = self._connection.execute(query, values).fetchone()
        return row

    def _timestamp(self) -> str:
        return self._now().astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")

    @contextmanager
    def _refusing(self, what: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.DataError, UnicodeError, OverflowError) as error:
            raise RefusedError(f"{self.path} refuses the value of {what}: {error}") from error

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
            advice = _ADVICE.get(code, _OTHER_ADVICE)
            raise StoreError(
                advice.format(path=self.path, directory=self.path.parent, error=error)
            ) from error
