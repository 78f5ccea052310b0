"""Named timers of many owners in one heap, so that a runtime arms one real timer for all of them.

Time comes in as `now_s` arguments: nothing here reads a clock. Moving a timer later (the usual
case: "no audio for 300 ms", moved by every frame) touches one dictionary entry and not the heap.
"""

import heapq
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Generic, TypeVar

from callfsm.fsm.table import Event

Owner = TypeVar("Owner", bound=Hashable)


STALE_ENTRIES = 64  # in the heap, besides as many as timers, before they are swept out


@dataclass(slots=True)
class _Timer:
    due_s: float
    event: Event | None  # None: cancelled, but its heap entry can still serve the next one
    in_heap_s: float  # when its heap entry comes up, at the latest when it is due
    entry: int


class Timers(Generic[Owner]):
    """Timers by owner and name; a name runs at most once per owner."""

    def __init__(self) -> None:
        self._timers: dict[Owner, dict[str, _Timer]] = {}
        self._heap: list[tuple[float, int]] = []  # when, entry
        self._entries: dict[int, tuple[Owner, str]] = {}  # those that stand for a timer
        self._numbers = count()

    def __len__(self) -> int:
        return sum(t.event is not None for ts in self._timers.values() for t in ts.values())

    def set(self, owner: Owner, name: str, due_s: float, event: Event) -> None:
        """Run `name` at `due_s`, in place of the timer of that name if there is one."""
        timers = self._timers.setdefault(owner, {})
        timer = timers.get(name)
        if timer is not None and due_s >= timer.in_heap_s:
            timer.due_s, timer.event = due_s, event
            return
        if timer is not None:
            del self._entries[timer.entry]
        entry = next(self._numbers)
        timers[name] = _Timer(due_s, event, due_s, entry)
        self._entries[entry] = (owner, name)
        heapq.heappush(self._heap, (due_s, entry))
        if len(self._heap) > 2 * len(self._entries) + STALE_ENTRIES:
            self._heap = [item for item in self._heap if item[1] in self._entries]
            heapq.heapify(self._heap)

    def cancel(self, owner: Owner, name: str) -> None:
        """Forget one timer; nothing happens when it does not run."""
        if timer := self._timers.get(owner, {}).get(name):
            timer.event = None

    def cancel_all(self, owner: Owner) -> None:
        """Forget every timer of this owner, and the owner."""
        for timer in self._timers.pop(owner, {}).values():
            del self._entries[timer.entry]

    def next_due_s(self) -> float | None:
        """When to call `pop_due` next (it may then find nothing due), or None."""
        while self._heap and self._heap[0][1] not in self._entries:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now_s: float) -> Iterator[tuple[Owner, Event]]:
        """Take out the timers that are due, in the order of their time."""
        while self._heap and self._heap[0][0] <= now_s:
            in_heap_s, entry = heapq.heappop(self._heap)
            if entry not in self._entries:
                continue
            owner, name = self._entries[entry]
            timer = self._timers[owner][name]
            if timer.event is not None and timer.due_s > in_heap_s:
                timer.in_heap_s = timer.due_s
                heapq.heappush(self._heap, (timer.due_s, entry))
                continue
            del self._entries[entry], self._timers[owner][name]
            if not self._timers[owner]:
                del self._timers[owner]
            if timer.event is not None:
                yield owner, timer.event
