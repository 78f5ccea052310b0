"""Find calls in the database that no datagram announced.

Rows may be active for ever: a process died before it ended them. So the newest rows come first, and
after a minute each is announced at longer and longer intervals.
"""

import logging
from collections.abc import Callable
from math import ceil

import gevent

from callfsm.errors import StoreError
from callfsm.runtimes.gevent import let_hub_look
from service.background import Background
from service.store.database import ActiveCall
from service.store.store import Store

log = logging.getLogger(__name__)

EVERY_S = 1.0  # PROTOCOL.md 4
EACH_LOOKS = 60  # at which a row is announced that nobody answers for
LATER = 1.25  # then it is when it is known for so many times as long


class Discovery(Background):
    """Once a second, announces rows that are active; old ones seldom.

    A row stays active for a while after its caller hung up. So a call that its caller ended is
    announced again only when its row has changed; one that broke off is announced at once, and one
    that an error ended less and less often, like any row. A REGISTER revives it at any time.
    """

    def __init__(self, store: Store, announce: Callable[[int], None]) -> None:
        super().__init__(self._watch)
        self._store = store
        self._announce = announce
        self._over: dict[int, ActiveCall] = {}  # rows as they were when their call ended
        self._ended: set[int] = set()  # since the last look
        self._broken: set[int] = set()  # the same
        self._looks = 0
        self._known: dict[ActiveCall, tuple[int, int]] = {}  # since which look, and when it is due

    def call_ended(self, call_id: int) -> None:
        """Do not announce the row of this call again as long as it stays as it is."""
        self._ended.add(call_id)

    def call_broke(self, call_id: int) -> None:
        """The caller may still be there: announce the row as if it were new."""
        self._broken.add(call_id)

    def look(self, rows: list[ActiveCall]) -> None:
        """Announce the active rows whose call is not over, as far as they are due."""
        self._over = {
            row.id: row
            for row in rows
            if (row.id in self._ended or self._over.get(row.id) == row)
            and row.id not in self._broken
        }
        self._looks += 1
        anew = self._looks, self._looks
        self._known = {
            row: anew if row.id in self._broken else self._known.get(row, anew) for row in rows
        }
        self._ended.clear()
        self._broken.clear()
        for row in rows:
            if row.id in self._over or self._looks < self._known[row][1]:
                continue
            let_hub_look()  # however many there are: some may end meanwhile
            if row.id in self._ended:
                continue
            self._known[row] = self._put_off(self._known[row][0])
            try:
                self._announce(row.id)
            except Exception:
                log.exception("call %d: its row is active, but no call was made", row.id)

    def _put_off(self, since: int) -> tuple[int, int]:
        """Since when a row is known, and the look at which it is due next."""
        known = self._looks - since + 1
        return since, since + (known if known < EACH_LOOKS else ceil(known * LATER))

    def _watch(self) -> None:
        while True:
            try:
                self.look(self._store.active_calls())
            except StoreError as error:
                log.warning("discovery: %s", error)
            gevent.sleep(EVERY_S)
