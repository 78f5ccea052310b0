"""Find calls in the database that no datagram announced."""

import logging
from collections.abc import Callable

import gevent

from callfsm.errors import StoreError
from service.background import Background
from service.store.database import ActiveCall
from service.store.store import Store

log = logging.getLogger(__name__)

EVERY_S = 1.0  # PROTOCOL.md 4


class Discovery(Background):
    """Once a second, announces the rows that are active.

    A row stays active for a while after its caller hung up. So a call that ended is announced
    again only when its row has changed; a REGISTER, of course, revives it at any time.
    """

    def __init__(self, store: Store, announce: Callable[[int], None]) -> None:
        super().__init__(self._watch)
        self._store = store
        self._announce = announce
        self._over: dict[int, ActiveCall] = {}  # rows as they were when their call ended
        self._ended: set[int] = set()  # since the last look

    def call_ended(self, call_id: int) -> None:
        """Do not announce the row of this call again as long as it stays as it is."""
        self._ended.add(call_id)

    def look(self, rows: list[ActiveCall]) -> None:
        """Announce the active rows whose call is not over."""
        over = {row.id: row for row in rows if self._over.get(row.id) == row}
        self._over = over | {row.id: row for row in rows if row.id in self._ended}
        self._ended.clear()
        for row in rows:
            if row.id not in self._over:
                self._announce(row.id)

    def _watch(self) -> None:
        while True:
            try:
                self.look(self._store.active_calls())
            except StoreError as error:
                log.warning("discovery: %s", error)
            gevent.sleep(EVERY_S)
