"""What can happen to a call in the menu, what the menu can ask for, and what it does when."""

from collections.abc import Iterator
from dataclasses import dataclass

from callfsm.fsm import Effect, Event

MISTAKES_ALLOWED = 2  # wrong keys and silences; the next one ends the call
ACCOUNT_DIGITS = 4


# ---------------------------------------------------------------- events
@dataclass(frozen=True, slots=True)
class Digit(Event):
    key: str  # one of 0123456789*#


@dataclass(frozen=True, slots=True)
class TimeUp(Event):
    """The time-out of whatever state the call is in."""


@dataclass(frozen=True, slots=True)
class Answered(Event):
    """Somebody at the desk that rings has picked up."""


@dataclass(frozen=True, slots=True)
class HungUp(Event):
    """The caller is gone."""


# ---------------------------------------------------------------- effects
@dataclass(frozen=True, slots=True)
class Say(Effect):
    text: str


@dataclass(frozen=True, slots=True)
class Ring(Effect):
    desk: str


@dataclass(frozen=True, slots=True)
class PutThrough(Effect):
    desk: str


@dataclass(frozen=True, slots=True)
class Record(Effect):
    desk: str  # whose voice mail it is


# ---------------------------------------------------------------- the model
class Call:
    """One caller in the menu."""

    def __init__(self) -> None:
        self.state = ""
        self.desk = "sales"
        self.account = ""  # its digits so far
        self.mistakes = 0


# ---------------------------------------------------------------- guards
def is_sales(_: Call, digit: Digit) -> bool:
    return digit.key == "1"


def is_support(_: Call, digit: Digit) -> bool:
    return digit.key == "2"


def is_hash(_: Call, digit: Digit) -> bool:
    return digit.key == "#"


def is_last_digit(call: Call, _: Digit) -> bool:
    return len(call.account) == ACCOUNT_DIGITS - 1


def may_try_again(call: Call, _: Event) -> bool:
    return call.mistakes < MISTAKES_ALLOWED


# ---------------------------------------------------------------- handlers
def greet(_: Call) -> Iterator[Effect]:
    yield Say("Press 1 for sales, 2 for support.")


def ask_for_account(call: Call) -> Iterator[Effect]:
    call.account = ""
    yield Say("Enter the four digits of your account.")


def ring(call: Call) -> Iterator[Effect]:
    yield Ring(call.desk)


def record(call: Call) -> Iterator[Effect]:
    yield Say("Nobody is free. Leave a message, and press hash.")
    yield Record(call.desk)


def apologise(call: Call, _: Event) -> Iterator[Effect]:
    call.mistakes += 1
    yield Say("Sorry, I did not get that.")


def give_up(_: Call, __: Event) -> Iterator[Effect]:
    yield Say("Good bye.")


def take_digit(call: Call, digit: Digit) -> Iterator[Effect]:
    call.account += digit.key
    yield from ()


def choose_support(call: Call, digit: Digit) -> Iterator[Effect]:
    call.desk = f"support for account {call.account}{digit.key}"
    yield from ()


def put_through(call: Call, _: Answered) -> Iterator[Effect]:
    yield PutThrough(call.desk)


def thank(_: Call, __: Event) -> Iterator[Effect]:
    yield Say("Thank you, good bye.")
