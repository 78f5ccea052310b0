"""Events that no actor took, counted: a sender that talks to the dead has a bug, or bad luck."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from callfsm.fsm.actor import Actor
from callfsm.fsm.table import Event


class DeadLetters:
    """Counts by machine and event, so that it stays small however many actors there were.

    `observers` are told each event and the actor that did not take it.
    """

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()  # name of the table, of the event
        self.observers: list[Callable[[Actor[Any], Event], None]] = []

    @property
    def total(self) -> int:
        return self.counts.total()

    def add(self, actor: Actor[Any], event: Event) -> None:
        """Count one: a runtime's `undelivered`."""
        self.counts[actor.machine.table.name, type(event).__name__] += 1
        for observe in self.observers:
            observe(actor, event)
