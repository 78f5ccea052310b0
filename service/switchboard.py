"""Who is calling: every open call by its id, and the links that outlive them."""

import logging
from collections import deque
from collections.abc import Callable
from math import inf

from gevent.event import Event as Signal

from callfsm.call import events as ev
from callfsm.inference.admission import Refusal
from service.llama import LlamaLink
from service.metrics import Metrics
from service.session import CallSession
from service.wire import Bye, Register

log = logging.getLogger(__name__)

GAVE_UP_S = 3600.0  # a refused call that has not asked for so long asks anew
STILL_ASKS_S = 5.0  # REGISTER is repeated each second
RECENT_CALLS = 16  # closed calls that the live view still shows


class Switchboard:
    """Routes registrations to calls; makes a call on the first one for its id."""

    def __init__(
        self,
        make_session: Callable[[int, Callable[[CallSession], None]], CallSession],
        make_link: Callable[[int], LlamaLink],
        metrics: Metrics,
        call_ended: Callable[[CallSession], None],
        *,
        max_calls: int,
        refuses_call: Callable[[int], Refusal | None],
        now_s: Callable[[], float],
    ) -> None:
        """`refuses_call` says why no call can come in beside so many; None counts it as let in."""
        self._make_session = make_session
        self._make_link = make_link
        self._max_calls = max_calls
        self._now_s = now_s
        self._refuses_call = refuses_call
        self._metrics = metrics
        self._call_ended = call_ended
        self._refused: dict[int, float] = {}  # when they asked last
        self._closing = False
        self.sessions: dict[int, CallSession] = {}
        self.recent: deque[CallSession] = deque(maxlen=RECENT_CALLS)  # closed, newest last
        self.links: dict[int, LlamaLink] = {}
        self.empty = Signal()
        self.empty.set()
        metrics.calls_active.set_function(lambda: self.connected)

    @property
    def connected(self) -> int:
        """Calls that are connected or about to be; rows left active by others do not count."""
        return sum(not session.is_absent for session in self.sessions.values())

    def hear(self, message: Register | Bye) -> None:
        """A datagram."""
        match message:
            case Register(call_id):
                self.register(call_id)
            case Bye(call_id):
                self._refused.pop(call_id, None)
                if call_id in self.sessions:
                    session = self.sessions[call_id]
                    session.register_again = False
                    session.tell(ev.Bye())

    def register(self, call_id: int) -> None:
        """The call has an audio port."""
        session = self.sessions.get(call_id)
        if session is None or session.is_absent:
            self._admit(call_id)
        elif session.is_ending:
            session.register_again = True
        else:
            session.tell(ev.Registered())

    def discover(self, call_id: int) -> None:
        """The call's row is active; of a call that is known already that says nothing new.

        Rows stay active for ever where a process died, and this one's audio port has not answered
        yet. So it takes none of the room that there is for new calls: crowds come by REGISTER, and
        a call that was refused comes in by that. Beyond the limit it is passed over without a word.
        """
        session = self.sessions.get(call_id)
        if self._closing or not (session is None or session.is_absent):
            return
        still_asks = self._now_s() - self._refused.get(call_id, -inf) < STILL_ASKS_S
        if not still_asks and self.connected < self._max_calls:
            self._open(call_id)

    def link(self, call_id: int) -> LlamaLink:
        """The link of this call id, the same for every call of that id."""
        link = self.links.get(call_id)
        if link is None or link.closed:
            self._drop_resting_links()
            link = self.links[call_id] = self._make_link(call_id)
        return link

    def close(self) -> None:
        """Take no new calls, and have the open ones finish what they heard."""
        self._closing = True
        for session in list(self.sessions.values()):
            session.shut_down()

    def _admit(self, call_id: int) -> None:
        """Let the call in, if it can be borne; of one that was let in that is not asked again."""
        if self._closing:
            return
        session, refusal = self.sessions.get(call_id), None
        if self.connected >= self._max_calls:
            refusal = Refusal.LIMIT
        elif session is None or not session.is_admitted:
            refusal = self._refuses_call(self.connected)
        if refusal is not None:
            self._refuse(call_id, refusal)
            return
        self._refused.pop(call_id, None)
        self._open(call_id).is_admitted = True

    def _open(self, call_id: int) -> CallSession:
        session = self.sessions.get(call_id)
        if session is None:
            session = self.sessions[call_id] = self._make_session(call_id, self._forget)
            self.empty.clear()
        session.tell(ev.Registered())
        return session

    def _refuse(self, call_id: int, why: Refusal) -> None:
        """REGISTER is repeated: the call is let in as soon as there is room. Logged once."""
        now_s = self._now_s()
        is_new = now_s - self._refused.get(call_id, -inf) >= GAVE_UP_S
        self._refused[call_id] = now_s
        if is_new:
            self._refused = {
                other: at_s for other, at_s in self._refused.items() if now_s - at_s < GAVE_UP_S
            }
            self._metrics.calls_refused.labels(why.value).inc()
            log.warning(
                "call %d: refused (%s), %d calls are connected", call_id, why.value, self.connected
            )

    def _drop_resting_links(self) -> None:
        """Most call ids never come again."""
        for call_id, link in list(self.links.items()):
            if link.is_resting and call_id not in self.sessions:
                link.close()
                del self.links[call_id]

    def _forget(self, session: CallSession) -> None:
        if self.sessions.get(session.id) is not session:
            return
        del self.sessions[session.id]
        if session.call.end_reason is not ev.EndReason.NEVER_CONNECTED:
            self._refused.pop(session.id, None)
            self.recent.append(session)
        self._call_ended(session)
        if session.register_again:
            self._admit(session.id)
        if not self.sessions:
            self.empty.set()
