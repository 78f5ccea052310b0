"""What must never happen, whatever the surroundings do. Each breach is one sentence.

deadlock · event after closed · leaked timer · lost text · two windows in flight; and, since they
come for free: a rejected event, a crash, a retry without limit, a text twice or out of order.
"""

from collections.abc import Collection, Iterator

from callfsm.call.call import Call
from callfsm.call.handlers import GRACE, HELD, PAUSE
from callfsm.explore.surroundings import Surroundings
from callfsm.fsm.machine import Turn, UnexpectedEvent
from callfsm.inference.pool import Pool, Worker
from callfsm.link.link import Link
from callfsm.link.table import UP


def rejected(error: UnexpectedEvent, was_time_out: bool) -> str:
    """A table rejected an event: a timer that outlived its state, or a message it never expects."""
    return f"{'leaked timer' if was_time_out else 'rejected event'}: {error}"


def after_closed(turn: Turn) -> Iterator[str]:
    """A closed call asks for nothing."""
    for effect in turn.effects:
        yield f"event after closed: {type(effect).__name__} is asked for"


def audio_is_over(timers: Collection[str]) -> Iterator[str]:
    """A call whose audio has just ended does not wait for audio."""
    for name in sorted({PAUSE, GRACE} & set(timers)):
        yield f"leaked timer: '{name}' runs on though the audio is over"


def call_at_rest(call: Call, timers: Collection[str], around: Surroundings) -> Iterator[str]:
    """With no mail left, something goes on with everything that was heard."""
    if call.state == "buffering":
        heard = call.windows.has_speech
        if heard and PAUSE not in timers:
            yield "lost text: speech was heard, and nothing will cut its window"
        if call.merger.held and not heard and HELD not in timers:
            yield "lost text: words are held back, and nothing will let them go"
        if not around.reading:
            yield "deadlock: reading is paused, and nothing will resume it"


def inference_at_rest(pool: Pool) -> Iterator[str]:
    """No window waits for a context that waits for a window."""
    if pool.those(Worker.IDLE) and pool.waiting:
        yield "deadlock: a window waits, and so does a context"


def link_at_rest(link: Link, around: Surroundings) -> Iterator[str]:
    """A text is written as soon as it can be; and at the end each was taken or reported."""
    if link.state in UP and link.queue and not around.writing:
        yield "deadlock: a text waits, and so does the connection"
    if around.link_closed:
        yield from undelivered(around)


def at_the_end(call: Call, around: Surroundings) -> Iterator[str]:
    """When nothing can happen any more, the call and the link are closed."""
    if not around.ended:
        yield f"deadlock: nothing can happen any more, and the call is in '{call.state}'"
    elif not around.link_closed:
        yield "deadlock: nothing can happen any more, and the link is not closed"


def text_of(around: Surroundings, heard: int) -> Iterator[str]:
    """A closed call forwarded each of the `heard` words once, in order.

    Words in a window that was given up may be missing: that is counted and logged.
    """
    lost = [around.spans[number] for number in around.given_up]
    forwarded = [word.text for effect in around.forwarded for word in effect.words]
    for word in around.said[:heard]:
        times = forwarded.count(word.text)
        excused = any(start < word.end_s and word.start_s < end for start, end in lost)
        if times == 0 and not excused:
            yield f"lost text: '{word.text}' was heard and never forwarded"
        if times > 1:
            yield f"text twice: '{word.text}' was forwarded {times} times"
    if sorted(forwarded) != forwarded:
        yield f"text out of order: {' '.join(forwarded)}"


def undelivered(around: Surroundings) -> Iterator[str]:
    """Each text was taken or reported; the one in flight at the end may be both."""
    texts = [effect.text for effect in around.forwarded]
    taken = len(around.taken)
    rests = (texts[taken:], texts[max(0, taken - 1) :])
    if around.taken != texts[:taken] or around.undelivered not in rests:
        yield (
            f"lost text: {texts} were forwarded; the language model took {around.taken}, "
            f"and {around.undelivered} were reported"
        )
