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


@dataclass(slots=True)
class _Timer:
    due_s: float
    event: Event | None  # None: cancelled, but its heap entry can still serve the next one
    in_heap_s: float  # the earliest heap entry that stands for it
    generation: int


class Timers(Generic[Owner]):
    """Timers by owner and name; a name runs at most once per owner."""

    def __init__(self) -> None:
        self._timers: dict[Owner, dict[str, _Timer]] = {}
        self._heap: list[tuple[float, int, Owner, str]] = []
        self._generations = count()

    def __len__(self) -> int:
        return sum(t.event is not None for ts in self._timers.values() for t in ts.values())

    def set(self, owner: Owner, name: str, due_s: float, event: Event) -> None:
        """Run `name` at `due_s`, in place of the timer of that name if there is one."""
        timers = self._timers.setdefault(owner, {})
        timer = timers.get(name)
        if timer is not None and due_s >= timer.in_heap_s:
            timer.due_s, timer.event = due_s, event
            return
        generation = next(self._generations)
        timers[name] = _Timer(due_s, event, due_s, generation)
        heapq.heappush(self._heap, (due_s, generation, owner, name))

    def cancel(self, owner: Owner, name: str) -> None:
        """Forget one timer; nothing happens when it does not run."""
        if timer := self._timers.get(owner, {}).get(name):
            timer.event = None

    def cancel_all(self, owner: Owner) -> None:
        """Forget every timer of this owner."""
        self._timers.pop(owner, None)

    def next_due_s(self) -> float | None:
        """When to call `pop_due` next (it may then find nothing due), or None."""
        while self._heap and self._standing(self._heap[0]) is None:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now_s: float) -> Iterator[tuple[Owner, Event]]:
        """Take out the timers that are due, in the order of their time."""
        while self._heap and self._heap[0][0] <= now_s:
            entry = heapq.heappop(self._heap)
            timer = self._standing(entry)
            if timer is None:
                continue
            _, generation, owner, name = entry
            if timer.due_s > now_s and timer.event is not None:
                timer.in_heap_s = timer.due_s
                heapq.heappush(self._heap, (timer.due_s, generation, owner, name))
                continue
            timers = self._timers[owner]
            del timers[name]
            if not timers:
                del self._timers[owner]
            if timer.event is not None:
                yield owner, timer.event

    def _standing(self, entry: tuple[float, int, Owner, str]) -> _Timer | None:
        """The timer that this heap entry still stands for."""
        _, generation, owner, name = entry
        timer = self._timers.get(owner, {}).get(name)
        return timer if timer is not None and timer.generation == generation else None
