"""Many named timers in one heap: what is due, in which order, and what it costs."""

import gc
import weakref
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from callfsm.fsm.table import Event
from callfsm.fsm.timers import STALE_ENTRIES, Timers


@dataclass(frozen=True, slots=True)
class Ring(Event):
    number: int


OWNERS = st.sampled_from("abc")
NAMES = st.sampled_from(["pause", "grace", "state"])
TIMES = st.integers(0, 12).map(float)
STEPS = st.one_of(
    st.tuples(st.just("set"), OWNERS, NAMES, TIMES),
    st.tuples(st.just("cancel"), OWNERS, NAMES),
    st.tuples(st.just("cancel_all"), OWNERS),
    st.tuples(st.just("advance"), TIMES),
    st.tuples(st.just("wait for the next")),
)


class Naive:
    """A dictionary of due times: slow, and right at a glance."""

    def __init__(self) -> None:
        self.due: dict[tuple[str, str], tuple[float, Event]] = {}

    def pop_due(self, now_s: float) -> list[tuple[float, str, Event]]:
        due = [(at, key, event) for key, (at, event) in self.due.items() if at <= now_s]
        for _, key, _ in due:
            del self.due[key]
        return [(at, key[0], event) for at, key, event in due]


@settings(deadline=None)
@given(st.lists(STEPS, max_size=60))
def test_timers_do_what_a_dictionary_would(steps: list[tuple[str, object]]) -> None:
    """Set, moved, cancelled and popped in any order: the same timers, each once, in due order."""
    timers: Timers[str] = Timers()
    naive = Naive()
    now_s = 0.0
    for number, step in enumerate(steps):
        match step:
            case ("set", str(owner), str(name), float(after_s)):
                timers.set(owner, name, now_s + after_s, Ring(number))
                naive.due[owner, name] = (now_s + after_s, Ring(number))
            case ("cancel", str(owner), str(name)):
                timers.cancel(owner, name)
                naive.due.pop((owner, name), None)
            case ("cancel_all", str(owner)):
                timers.cancel_all(owner)
                naive.due = {key: timer for key, timer in naive.due.items() if key[0] != owner}
            case _:
                next_s = timers.next_due_s()
                earliest = min((at for at, _ in naive.due.values()), default=None)
                assert earliest is None or (next_s is not None and next_s <= earliest)
                if isinstance(step[-1], float):
                    now_s += step[-1]
                elif next_s is not None:
                    now_s = max(now_s, next_s)
                popped = list(timers.pop_due(now_s))
                due = naive.pop_due(now_s)
                at_s = {event: at for at, _, event in due}
                assert {(o, e) for o, e in popped} == {(o, e) for _, o, e in due}
                assert len(popped) == len(due)
                times = [at_s[event] for _, event in popped]
                assert times == sorted(times)
        assert len(timers) == len(naive.due)


def test_waiting_for_the_next_due_time_finds_every_timer() -> None:
    """Whoever wakes up at `next_due_s` again and again misses nothing and comes to an end."""
    timers: Timers[str] = Timers()
    for number in range(50):
        timers.set("a", f"timer {number % 10}", 100.0 - number, Ring(number))
        timers.set("b", f"timer {number % 10}", 10.0 + number, Ring(number))
    rung = []
    while (due_s := timers.next_due_s()) is not None:
        rung += [(due_s, owner, event) for owner, event in timers.pop_due(due_s)]
    assert sorted(due_s for due_s, owner, _ in rung if owner == "a") == list(range(51, 61))
    assert sorted(due_s for due_s, owner, _ in rung if owner == "b") == list(range(50, 60))


def test_a_moved_timer_waits_its_turn_when_much_is_due() -> None:
    """After a long stall a timer that was moved later still rings after those due before it."""
    timers: Timers[str] = Timers()
    timers.set("a", "moved", 1.0, Ring(1))
    timers.set("a", "moved", 5.0, Ring(2))
    timers.set("b", "still", 3.0, Ring(3))
    assert list(timers.pop_due(60.0)) == [("b", Ring(3)), ("a", Ring(2))]


def test_moving_a_timer_later_does_not_touch_the_heap() -> None:
    """10 000 frames that each move the pause timer leave one heap entry."""
    timers: Timers[str] = Timers()
    for frame in range(10_000):
        timers.set("call", "pause", frame * 0.02 + 0.3, Ring(frame))
    assert (len(timers._heap), len(timers)) == (1, 1)
    assert list(timers.pop_due(300.0)) == [("call", Ring(9_999))]


def test_moving_a_timer_earlier_does_not_grow_the_heap() -> None:
    """Every move to an earlier time leaves a stale entry behind; they are swept out."""
    timers: Timers[str] = Timers()
    for number in range(10_000):
        timers.set("call", "state", 20_000.0 - number, Ring(number))
        assert len(timers._heap) <= 2 + STALE_ENTRIES
    assert list(timers.pop_due(20_000.0)) == [("call", Ring(9_999))]


def test_cancelling_all_forgets_the_owner() -> None:
    """Once an owner's timers are cancelled nothing here keeps it alive."""

    class Call:
        pass

    timers: Timers[Call] = Timers()
    call = Call()
    timers.set(call, "idle", 300.0, Ring(1))
    timers.set(call, "idle", 200.0, Ring(2))
    timers.set(call, "pause", 0.3, Ring(3))
    timers.cancel_all(call)
    gone = weakref.ref(call)
    del call
    gc.collect()
    assert (gone(), len(timers), timers.next_due_s()) == (None, 0, None)


def test_cancelling_what_does_not_run_does_nothing() -> None:
    """Nobody needs to ask first whether a timer runs."""
    timers: Timers[str] = Timers()
    timers.cancel("a", "pause")
    timers.cancel_all("a")
    assert timers.next_due_s() is None
    assert list(timers.pop_due(1e9)) == []
