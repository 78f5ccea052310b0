"""What an actor needs of the place where it runs: six plain callables, and no more.

Whoever has these can run actors: `runtimes/` holds one on gevent and one in simulated time, and
docs/library.md shows one on asyncio. All of them are called from, and give turns in, one thread.
"""

from typing import TYPE_CHECKING, Any, Protocol

from callfsm.fsm.table import Event

if TYPE_CHECKING:
    from callfsm.fsm.actor import Actor

TURNS_DO_NOT_WAIT = "an actor's turn cannot wait for an answer; use `Reply.then`"


class Runtime(Protocol):
    """Where actors run: a clock, turns, timers, and an ear for events that nobody takes."""

    def now_s(self) -> float:
        """Monotonic seconds."""

    def request_turn(self, actor: "Actor[Any]") -> None:
        """Call `actor.take_turn()` soon, again while it returns True, and never two at once.

        One that `goes_first` should take its turn before those that do not.
        """

    def set_timer(self, actor: "Actor[Any]", name: str, after_s: float, event: Event) -> None:
        """Tell `event` to the actor after this time; a timer of the same name is moved."""

    def cancel_timer(self, actor: "Actor[Any]", name: str) -> None: ...

    def cancel_timers(self, actor: "Actor[Any]") -> None: ...

    def undelivered(self, actor: "Actor[Any]", event: Event) -> None:
        """`event` was told to a stopped actor, or waited in it when it stopped."""
