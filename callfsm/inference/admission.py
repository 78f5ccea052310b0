"""Whether a new call can be borne: calls that are here already come first.

In ten seconds the calls may grow by a quarter while no window waits for a context; the longer
windows wait the less, and not at all from LATE_S on. For it takes some seconds of speech until a
call that was let in shows what it costs. Contexts with time to spare take everybody. A refused
call registers again each second, so it comes in when it can.
"""

from enum import Enum

from callfsm.call.settings import SPENDABLE_LOAD

LATE_S = 1.0  # with as many calls as are borne few windows wait so long
MEMORY_S = 5.0  # how long a wait counts
GROWTH_S = 10.0  # in which calls grow by GROWTH
GROWTH = 0.25
FEW = 8  # calls for each context in that time, however few there are


class Refusal(Enum):
    """Why a new call must wait."""

    LIMIT = "limit"  # as many calls as are allowed
    LATE = "late"  # windows wait too long for a context
    CROWD = "crowd"  # the contexts are busy, and many calls have just come in
    DOWN = "down"  # no context works


class Admission:
    """Decides about new calls. All times are of one clock."""

    __slots__ = ("_few", "_let_in_s", "_waits")

    def __init__(self, contexts: int) -> None:
        self._few = FEW * contexts
        self._let_in_s: list[float] = []  # when calls were let in, the last GROWTH_S
        self._waits: list[
            tuple[float, float]
        ] = []  # when, and how long; each shorter than those before

    def waited(self, now_s: float, wait_s: float) -> None:
        """A window has waited so long, and may go on waiting."""
        longer = [wait for wait in self._recent(now_s) if wait[1] > wait_s]
        self._waits = [*longer, (now_s, wait_s)]

    def refuses(self, now_s: float, load: float, calls: int) -> Refusal | None:
        """Why a new call cannot come in beside `calls` others now; None lets it in.

        `load`: see `LoadMeter`.
        """
        self._let_in_s = [at_s for at_s in self._let_in_s if now_s < at_s + GROWTH_S]
        longest_s = max((wait_s for _, wait_s in self._recent(now_s)), default=0.0)
        if longest_s >= LATE_S:
            return Refusal.LATE
        room = max(self._few, GROWTH * calls) * (1.0 - longest_s / LATE_S)
        if load > SPENDABLE_LOAD and len(self._let_in_s) + 1 > room:
            return Refusal.CROWD
        self._let_in_s.append(now_s)
        return None

    def _recent(self, now_s: float) -> list[tuple[float, float]]:
        return [(at_s, wait_s) for at_s, wait_s in self._waits if now_s < at_s + MEMORY_S]
