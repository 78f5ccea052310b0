"""A machine small enough to judge the spec tools by: a turnstile that a coin opens."""

from collections.abc import Iterator
from dataclasses import dataclass

from callfsm.fsm.machine import Machine
from callfsm.fsm.table import STAY, After, Effect, Event, Policy, Rest, Row, State, Table


@dataclass(frozen=True, slots=True)
class Coin(Event):
    cents: int


@dataclass(frozen=True, slots=True)
class Push(Event):
    pass


@dataclass(frozen=True, slots=True)
class Maintain(Event):
    pass


@dataclass(frozen=True, slots=True)
class TooLate(Event):
    pass


@dataclass(frozen=True, slots=True)
class Return(Effect):
    cents: int


class Turnstile:
    def __init__(self) -> None:
        self.state = ""


def enough(_: Turnstile, coin: Coin) -> bool:
    return coin.cents >= 50


def return_coin(_: Turnstile, coin: Coin) -> Iterator[Effect]:
    yield Return(coin.cents)


TURNSTILE: Table[Turnstile] = Table(
    name="turnstile",
    note="a coin opens it for ten seconds",
    initial="locked",
    states=(
        State("locked", "a coin is wanted", waits_forever=True),
        State("open", "one may pass", after=After(lambda _: 10.0, TooLate())),
    ),
    rows=(
        Row("locked", Coin, "open", when=enough),
        Row("locked", Coin, STAY, return_coin),
        Row("open", Push, "locked"),
        Row("open", TooLate, "locked"),
    ),
    rest=(
        Rest("locked", (Push,), Policy.IGNORE, "it is locked"),
        Rest("open", (Coin,), Policy.POSTPONE, "it is for the next person"),
        Rest("open", (Maintain,), Policy.POSTPONE, "when it is locked again"),
        Rest("locked", (Maintain, TooLate), Policy.REJECT, "nobody is to be told"),
    ),
)

turnstile_machine = Machine(TURNSTILE)
