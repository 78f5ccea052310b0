"""The store as greenlets see it: no call ever waits for the disk, and no text is lost or doubled.

sqlite3 blocks its thread, on a locked database for the whole busy time-out. So the connection lives
in a native thread of its own, and what is to be written waits in one ordered queue in memory. One
greenlet takes the queue's head as a batch, has it committed as one transaction, and only then
removes it: whatever goes wrong in between, the same batch is tried again.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import gevent
from gevent.event import Event

from callfsm.errors import StoreError
from service.native_thread import NativeThread
from service.store.database import (
    BUSY_TIMEOUT_MS,
    ActiveCall,
    Database,
    RefusedError,
    ServiceStatus,
    utc_now,
)

MAX_BATCH = 256  # writes in one transaction: other processes wait for its end
FIRST_RETRY_S = 0.1
LAST_RETRY_S = 2.0  # doubling ends here

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(eq=False, slots=True)
class _Write:
    """One thing to write: a piece of text, or (None) the end of the call."""

    call_id: int
    text: str | None
    settled: Event = field(default_factory=Event)


class Store:
    """The database of PROTOCOL.md §4 for greenlets of one hub, open from construction to `close`.

    `append` and `end_call` return at once; their order is kept. Everything else suspends only the
    calling greenlet, and raises StoreError. Counters: `written` pieces of text committed, `lost`
    pieces given up (each logged with its call id), `retries` failed attempts to commit a batch.
    """

    def __init__(
        self,
        path: Path,
        now: Callable[[], datetime] = utc_now,
        busy_timeout_ms: int = BUSY_TIMEOUT_MS,
    ) -> None:
        self.written = 0
        self.lost = 0
        self.retries = 0
        self._database = Database(path, now, busy_timeout_ms)
        self._thread = NativeThread()
        self._waiting: deque[_Write] = deque()
        self._work_came = Event()
        self._giving_up = Event()
        self._closed = False
        self._trouble = ""  # why the last attempt failed, "" if it did not
        try:
            self._in_thread(self._database.open)
        except StoreError:
            self._thread.stop()
            raise
        self._writer = gevent.spawn(self._write_until_closed)

    @property
    def pending(self) -> int:
        """Writes (pieces of text and ends of calls) not yet committed."""
        return len(self._waiting)

    def append(self, call_id: int, text: str) -> None:
        """Queue `text`, trimmed, for the call's transcription; nothing happens if it is empty."""
        piece = text.strip()
        if piece:
            self._queue(_Write(call_id, piece))

    def end_call(self, call_id: int) -> None:
        """Queue the end of the call, which comes after the texts appended so far."""
        self._queue(_Write(call_id, None))

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything queued so far is committed (or refused); False on time-out."""
        return not self._waiting or bool(self._waiting[-1].settled.wait(timeout_s))

    def close(self, timeout_s: float) -> None:
        """Flush for at most `timeout_s`, let an attempt under way end (at most the busy time-out
        more), log what could not be written, and end the thread."""
        if self._giving_up.is_set():
            return
        self.flush(timeout_s)
        self._giving_up.set()
        self._work_came.set()
        self._writer.join()
        while self._waiting:
            self._give_up(self._waiting.popleft(), self._trouble or "the store closes")
        self._closed = True
        with suppress(StoreError):
            self._thread.run(self._database.close)
        self._thread.stop()

    def active_calls(self) -> list[ActiveCall]:
        """The calls the database says are active, the newest first."""
        return self._in_thread(self._database.active_calls)

    def set_status(self, status: ServiceStatus) -> None:
        """Tell the other programs how this service is."""
        self._in_thread(partial(self._database.set_service_status, status))

    def read_config(self, key: str) -> str | None:
        """The value of `key` in `system_config`, None without one."""
        return self._in_thread(partial(self._database.read_config, key))

    def transcription(self, call_id: int) -> str:
        """The committed text of the call."""
        return self._in_thread(partial(self._database.transcription, call_id))

    def _queue(self, write: _Write) -> None:
        if self._closed:
            self._give_up(write, "the store is closed")
            return
        self._waiting.append(write)
        self._work_came.set()

    def _write_until_closed(self) -> None:
        retry_s = FIRST_RETRY_S
        while not self._giving_up.is_set():
            if not self._waiting:
                self._work_came.clear()
                self._work_came.wait()
                continue
            batch = list(islice(self._waiting, MAX_BATCH))
            try:
                refused = self._in_thread(partial(self._commit, batch))
            except StoreError as error:
                self.retries += 1
                self._report_trouble(str(error), batch)
                self._giving_up.wait(retry_s)
                retry_s = min(2 * retry_s, LAST_RETRY_S)
            else:
                self._report_trouble("", batch)
                self._settle(batch, refused)
                retry_s = FIRST_RETRY_S

    def _commit(self, batch: Sequence[_Write]) -> dict[_Write, RefusedError]:
        """In the database's thread: write the batch as one transaction, except what is refused."""
        refused: dict[_Write, RefusedError] = {}
        with self._database.transaction():
            for write in batch:
                try:
                    if write.text is None:
                        self._database.end_call(write.call_id)
                    else:
                        self._database.append_transcription(write.call_id, write.text)
                except RefusedError as error:
                    refused[write] = error
        return refused

    def _settle(self, batch: Sequence[_Write], refused: dict[_Write, RefusedError]) -> None:
        for write in batch:
            self._waiting.popleft()
            if write in refused:
                self._give_up(write, str(refused[write]))
                continue
            self.written += write.text is not None
            write.settled.set()

    def _give_up(self, write: _Write, reason: str) -> None:
        if write.text is None:
            _log.error("call %d: its end is not in the database: %s", write.call_id, reason)
        else:
            self.lost += 1
            _log.error(
                "call %d: text not in the database: %s: %r", write.call_id, reason, write.text
            )
        write.settled.set()

    def _report_trouble(self, reason: str, batch: Sequence[_Write]) -> None:
        if reason == self._trouble:
            return
        self._trouble = reason
        call_ids = ", ".join(str(call_id) for call_id in sorted({w.call_id for w in batch}))
        if reason:
            _log.warning("calls %s: text waits in memory: %s", call_ids, reason)
        else:
            _log.info("calls %s: text is being written again", call_ids)

    def _in_thread(self, work: Callable[[], _T]) -> _T:
        """Run `work` in the database's thread while other greenlets run."""
        if self._closed:
            raise StoreError(f"the store of {self._database.path} is closed")
        return self._thread.run(work)
