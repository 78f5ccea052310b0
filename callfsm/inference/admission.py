"""Whether a new call can be borne: calls that are here already come first.

A new call is refused while windows wait long for a context, and for a while after, until the calls
let in last have shown what they cost. That takes them some seconds of speech, so busy contexts get
new calls one at a time. A refused call registers again each second, so it comes in when it can.
"""

from enum import Enum

from callfsm.call.settings import SPENDABLE_LOAD

LATE_S = 2.0  # a window that waits longer is late; at what the contexts just bear few wait so long
CALM_S = 5.0  # without a late window: a call has spoken a window, and that has been waited for
STEP_S = 0.5  # between new calls on one busy context; a context of one core bears about 20


class Refusal(Enum):
    """Why a new call must wait."""

    LIMIT = "limit"  # as many calls as are allowed
    LATE = "late"  # windows wait too long for a context
    CROWD = "crowd"  # the contexts are busy, and another call has just come in


class Admission:
    """Decides about new calls. All times are of one clock."""

    __slots__ = ("_last_late_s", "_last_let_in_s", "_step_s")

    def __init__(self, contexts: int) -> None:
        self._step_s = STEP_S / contexts
        self._last_late_s = float("-inf")
        self._last_let_in_s = float("-inf")

    def waited(self, now_s: float, wait_s: float) -> None:
        """A window has waited so long, and may go on waiting."""
        if wait_s > LATE_S:
            self._last_late_s = now_s

    def refuses(self, now_s: float, load: float) -> Refusal | None:
        """Why a new call cannot come in now; None lets it in. `load`: see `LoadMeter`."""
        if now_s < self._last_late_s + CALM_S:
            return Refusal.LATE
        if load > SPENDABLE_LOAD and now_s < self._last_let_in_s + self._step_s:
            return Refusal.CROWD
        self._last_let_in_s = now_s
        return None
