"""Asking: the reply comes as an effect, at once or later, or says why it will not come."""

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import gevent
import pytest

from callfsm.errors import CallfsmError
from callfsm.fsm.actor import Actor
from callfsm.fsm.machine import Machine, UnexpectedEvent
from callfsm.fsm.reply import Answer, NoAnswer, Question, Reply
from callfsm.fsm.runtime import Runtime
from callfsm.fsm.table import (
    STAY,
    Effect,
    Event,
    Kind,
    Policy,
    Rest,
    Row,
    SetTimer,
    State,
    Table,
)
from callfsm.runtimes.gevent import GeventRuntime
from callfsm.runtimes.simulated import SimulatedRuntime

FAILS_AFTER_S = 5.0  # only a test that fails waits so long


@dataclass(frozen=True, slots=True)
class Price(Question[int]):
    """What does it cost?"""

    item: str


@dataclass(frozen=True, slots=True)
class Weather(Question[str]):
    """Small talk."""


@dataclass(frozen=True, slots=True)
class LastOne(Question[int]):
    """Is there one left? It is sold out, and the shop closes without a word."""


@dataclass(frozen=True, slots=True)
class Bell(Question[int]):
    """Does the bell ring?"""

    replies: bool


@dataclass(frozen=True, slots=True)
class Insult(Event):
    """A bug of the sender."""


@dataclass(frozen=True, slots=True)
class LookedUp(Event):
    """The price is found."""


@dataclass(frozen=True, slots=True)
class Close(Event):
    """The shop closes."""


@dataclass(frozen=True, slots=True)
class Quoted(Event):
    """To a customer: the reply to a question."""

    reply: Reply[int]


@dataclass(frozen=True, slots=True)
class Ask(Effect):
    """Of a customer: ask the shop."""

    item: str


@dataclass(frozen=True, slots=True)
class Ring(Effect):
    """Of the shop: the bell."""


@dataclass(slots=True)
class Shop:
    state: str = ""
    asked: Price = field(default_factory=lambda: Price("nothing"))


PRICES = {"tea": 3, "cake": 5}


def quote(_: Shop, question: Price) -> Iterator[Effect]:
    yield question.answer(PRICES[question.item])


def look_up(shop: Shop, question: Price) -> Iterator[Effect]:
    shop.asked = question
    yield SetTimer("found", 2.0, LookedUp())


def answer_now(shop: Shop, _: LookedUp) -> Iterator[Effect]:
    yield shop.asked.answer(7)


def ring(_: Shop, question: Bell) -> Iterator[Effect]:
    yield Ring()
    if question.replies:
        yield question.answer(1)


def is_rare(_: Shop, question: Price) -> bool:
    return question.item == "saffron"


shop_machine = Machine(
    Table[Shop](
        name="shop",
        note="",
        initial="open",
        states=(
            State("open", waits_forever=True, rest=Policy.REJECT),
            State("looking", waits_forever=True, rest=Policy.POSTPONE),
            State("closed", kind=Kind.FINAL, rest=Policy.IGNORE),
        ),
        rows=(
            Row("open", Price, "looking", look_up, when=is_rare),
            Row("open", Price, STAY, quote),
            Row("looking", LookedUp, "open", answer_now),
            Row(("open", "looking"), Close, "closed"),
            Row("open", LastOne, "closed"),
            Row("open", Bell, STAY, ring),
        ),
        rest=(
            Rest("open", (Weather,), Policy.IGNORE),
            Rest(("open", "looking"), (Insult,), Policy.REJECT),
        ),
    )
)


def open_shop(runtime: Runtime, perform: Callable[[Effect], None] = lambda _: None) -> Actor[Shop]:
    actor = Actor(
        "shop",
        shop_machine,
        Shop(),
        runtime=runtime,
        perform=perform,
        crashed=lambda _: None,
    )
    actor.start()
    return actor


@pytest.fixture
def runtime() -> SimulatedRuntime:
    return SimulatedRuntime()


def test_asking_returns_before_the_answer(runtime: SimulatedRuntime) -> None:
    """`ask` never waits: the box is empty until the actor has had its turn."""
    reply = open_shop(runtime).ask(Price("tea"))
    assert not reply.done
    with pytest.raises(NoAnswer, match="there is no answer yet"):
        _ = reply.value
    runtime.settle()
    assert (reply.done, reply.failed, reply.value) == (True, False, 3)


def test_an_answer_may_come_in_a_later_turn(runtime: SimulatedRuntime) -> None:
    """The model keeps the question; waiting passes as much simulated time as it takes."""
    shop = open_shop(runtime)
    slow, postponed = shop.ask(Price("saffron")), shop.ask(Price("cake"))
    assert runtime.wait(slow, 10.0) == 7
    assert (runtime.now_s(), postponed.value) == (2.0, 5)


def test_waiting_ends_after_its_time(runtime: SimulatedRuntime) -> None:
    """Without an answer in time: NoAnswer, and the answer may still come."""
    reply = open_shop(runtime).ask(Price("saffron"))
    with pytest.raises(NoAnswer):
        runtime.wait(reply, 1.5)
    assert (runtime.now_s(), reply.done) == (1.5, False)
    assert runtime.wait(reply, 0.5) == 7


def test_a_reply_calls_whoever_listens_once(runtime: SimulatedRuntime) -> None:
    """Before the answer or after it, each listener hears it once."""
    heard: list[int] = []
    reply = open_shop(runtime).ask(Price("tea"))
    reply.then(lambda done: heard.append(done.value))
    runtime.settle()
    reply.then(lambda done: heard.append(done.value + 1))
    reply.answer(100)
    assert (heard, reply.value) == ([3, 4], 3)


def test_who_answers_does_not_pay_for_who_listens(
    runtime: SimulatedRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    """A listener that fails is logged; the actor and the other listeners go on."""
    shop, heard = open_shop(runtime), list[int]()
    reply = shop.ask(Price("tea"))
    reply.then(lambda _: heard.append(1 // 0))
    reply.then(lambda done: heard.append(done.value))
    runtime.settle()
    assert (heard, shop.stopped) == ([3], False)
    assert "ZeroDivisionError" in caplog.text


def test_the_dead_do_not_answer(runtime: SimulatedRuntime) -> None:
    """A question to a stopped actor, and one that waits when it stops, fail at once."""
    shop = open_shop(runtime)
    shop.tell(Close())
    waiting = shop.ask(Price("tea"))
    runtime.settle()
    late = shop.ask(Price("tea"))
    for reply in (waiting, late):
        assert reply.failed
        with pytest.raises(NoAnswer, match="shop has stopped"):
            _ = reply.value
    assert runtime.dead_letters.counts == {("shop", "Price"): 2}


def test_a_question_kept_for_later_fails_when_the_actor_stops(runtime: SimulatedRuntime) -> None:
    """Taken, and not answered before the end: by a final state, by `stop`, by a new beginning."""
    ends: list[Callable[[Actor[Shop]], None]] = [
        lambda shop: shop.tell(Close()),
        lambda shop: shop.stop(),
        lambda shop: shop.restart(Shop()),
    ]
    for end in ends:
        shop = open_shop(runtime)
        kept = shop.ask(Price("saffron"))
        runtime.settle()
        assert not kept.done
        end(shop)
        runtime.settle()
        with pytest.raises(NoAnswer, match="shop has stopped"):
            runtime.wait(kept, 1.0)
    assert runtime.now_s() == 0.0
    assert runtime.dead_letters.total == 0


def test_a_question_kept_for_later_fails_with_the_cause_of_a_crash(
    runtime: SimulatedRuntime,
) -> None:
    """Whatever the actor crashes at: it does not answer any more."""
    shop = open_shop(runtime)
    kept = shop.ask(Price("saffron"))
    shop.tell(Insult())
    with pytest.raises(NoAnswer, match=r"shop crashed: .*Insult is not expected") as error:
        runtime.wait(kept, 10.0)
    assert isinstance(error.value.__cause__, UnexpectedEvent)
    assert runtime.now_s() == 0.0


def test_a_question_that_ends_the_actor_fails(runtime: SimulatedRuntime) -> None:
    """When the row that takes it leads to the end, and no handler answers."""
    with pytest.raises(NoAnswer, match="shop has stopped"):
        runtime.wait(open_shop(runtime).ask(LastOne()), 1.0)


@pytest.mark.parametrize("replies", [True, False])
def test_a_question_whose_effects_stop_the_actor(runtime: SimulatedRuntime, replies: bool) -> None:
    """An answer among them is given; without one, none will come."""
    shop = open_shop(runtime, lambda _: shop.stop())
    reply = shop.ask(Bell(replies))
    runtime.settle()
    assert (reply.done, reply.failed) == (True, not replies)


def test_an_answered_question_is_forgotten(runtime: SimulatedRuntime) -> None:
    """At once or later: an actor does not grow by the questions that it answered."""
    shop = open_shop(runtime)
    before = replies_in_memory()
    for item in ("tea", "saffron", "cake") * 10:
        runtime.wait(shop.ask(Price(item)), 10.0)
    shop.model.asked = Price("nothing")
    assert replies_in_memory() == before


def replies_in_memory() -> int:
    gc.collect()
    return sum(isinstance(thing, Reply) for thing in gc.get_objects())


def test_a_question_that_crashes_the_actor_fails_with_the_cause(runtime: SimulatedRuntime) -> None:
    """Who asked is told why."""
    reply = open_shop(runtime).ask(Price("gold"))
    with pytest.raises(NoAnswer, match="shop crashed: 'gold'") as error:
        runtime.wait(reply, 1.0)
    assert isinstance(error.value.__cause__, KeyError)


def test_a_question_that_is_ignored_fails(runtime: SimulatedRuntime) -> None:
    """Nobody waits for an answer that the table says will not come."""
    reply = open_shop(runtime).ask(Weather())
    with pytest.raises(NoAnswer, match="shop ignored Weather"):
        runtime.wait(reply, 1.0)
    assert runtime.now_s() == 0.0


def test_an_answer_is_an_effect_like_others() -> None:
    """A machine alone answers too, so a spec can compare: the reply in it is the question's own."""
    shop = Shop()
    shop_machine.start(shop)
    question = Price("tea")
    assert shop_machine.handle(shop, question).effects == [Answer(question.reply, 3)]
    assert question == Price("tea")


@dataclass(slots=True)
class Customer:
    state: str = ""
    paid: int = 0


def pay(customer: Customer, event: Quoted) -> Iterator[Effect]:
    customer.paid += event.reply.value
    yield from ()


def test_actors_ask_each_other_without_waiting(runtime: SimulatedRuntime) -> None:
    """The world asks for the customer, and the reply comes to its mailbox as an event."""
    shop = open_shop(runtime)
    table: Table[Customer] = Table(
        name="customer",
        note="",
        initial="hungry",
        states=(State("hungry", enter=lambda _: [Ask("tea"), Ask("cake")], waits_forever=True),),
        rows=(Row("hungry", Quoted, STAY, pay),),
    )

    def perform(effect: Effect) -> None:
        assert isinstance(effect, Ask)
        shop.ask(Price(effect.item)).then(lambda reply: customer.tell(Quoted(reply)))

    customer = Actor(
        "customer",
        Machine(table),
        Customer(),
        runtime=runtime,
        perform=perform,
        crashed=lambda _: None,
    )
    customer.start()
    runtime.settle()
    assert customer.model.paid == 8


def test_a_turn_does_not_wait_in_simulated_time(runtime: SimulatedRuntime) -> None:
    """What gevent refuses is refused in specs, too; outside of turns one may wait, as before."""
    shop = open_shop(runtime)
    crashes = asking_in_a_turn(runtime, shop)
    assert runtime.wait(shop.ask(Price("cake")), 1.0) == 5
    assert [type(error) for error in crashes] == [CallfsmError]
    assert runtime.wait(shop.ask(Price("tea")), 1.0) == 3


def asking_in_a_turn(
    runtime: GeventRuntime | SimulatedRuntime, shop: Actor[Shop]
) -> list[Exception]:
    """What becomes of an actor that waits for the price of tea whenever something happens."""
    crashes: list[Exception] = []
    greedy = Actor(
        "greedy",
        shop_machine,
        Shop(),
        runtime=runtime,
        perform=lambda _: None,
        crashed=crashes.append,
        observers=(lambda *_: runtime.wait(shop.ask(Price("tea")), FAILS_AFTER_S),),
    )
    greedy.start()  # not in a turn: here it may wait
    greedy.tell(Close())
    return crashes


# ------------------------------------------------ on gevent
@pytest.fixture
def hub() -> Iterator[GeventRuntime]:
    running = GeventRuntime()
    running.start()
    yield running
    running.stop()


def test_a_greenlet_waits_for_the_answer(hub: GeventRuntime) -> None:
    """The one that asks is blocked, and the others run."""
    shop = open_shop(hub)
    asking = [gevent.spawn(hub.wait, shop.ask(Price(i)), FAILS_AFTER_S) for i in ("tea", "cake")]
    gevent.joinall(asking)
    assert [greenlet.value for greenlet in asking] == [3, 5]


def test_a_greenlet_waits_no_longer_than_it_says(hub: GeventRuntime) -> None:
    """NoAnswer after the time."""
    reply = open_shop(hub).ask(Price("saffron"))
    with pytest.raises(NoAnswer, match="there is no answer yet"):
        hub.wait(reply, 0.001)


def test_a_turn_does_not_wait(hub: GeventRuntime) -> None:
    """An actor that waits for an answer in its turn would stop all actors: it is told so."""
    shop = open_shop(hub)
    crashes = asking_in_a_turn(hub, shop)
    hub.wait(shop.ask(Price("cake")), FAILS_AFTER_S)
    assert [type(error) for error in crashes] == [CallfsmError]
