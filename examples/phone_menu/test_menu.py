"""phone menu: a caller presses keys, and is put through or leaves a message."""

import pytest

from callfsm.fsm import Event, Policy
from callfsm.testing import Scenario, Simulation, given, simulate
from examples.phone_menu.call import (
    Answered,
    Call,
    Digit,
    HungUp,
    PutThrough,
    Record,
    Ring,
    Say,
    TimeUp,
)
from examples.phone_menu.menu import menu_machine

GREETING = Say("Press 1 for sales, 2 for support.")
SORRY = Say("Sorry, I did not get that.")
ACCOUNT = Say("Enter the four digits of your account.")
MESSAGE = Say("Nobody is free. Leave a message, and press hash.")
THANKS = Say("Thank you, good bye.")


def caller(*pressed: str) -> Scenario[Call]:
    """A caller who has pressed these keys so far."""
    return given(menu_machine, Call()).after(*(Digit(key) for key in pressed))


def test_sales() -> None:
    """1 rings sales."""
    caller().when(Digit("1")).then("ringing", Ring("sales"))


def test_support() -> None:
    """2 asks for the account first."""
    caller().when(Digit("2")).then("account", ACCOUNT)


def test_account() -> None:
    """The fourth digit of the account rings support, which is told the account."""
    caller("2", "4", "7").when(Digit("1")).then("account")
    caller("2", "4", "7", "1").when(Digit("1")).then("ringing", Ring("support for account 4711"))


def test_wrong_key() -> None:
    """A key without meaning is forgiven twice; the third ends the call."""
    caller().when(Digit("9")).then("menu", SORRY, GREETING)
    caller("9", "9").when(Digit("9")).then("over", Say("Good bye."))


def test_answered() -> None:
    """Somebody picks up: the caller is put through."""
    caller("1").when(Answered()).then("over", PutThrough("sales"))


def live_caller(*pressed: str) -> Simulation[Call]:
    """The same in simulated time: time-outs come when time passes."""
    return simulate(menu_machine, Call()).after(*(Digit(key) for key in pressed))


def test_silence() -> None:
    """Five silent seconds count as a wrong key."""
    silent = live_caller()
    silent.advance(4.9).then("menu")
    silent.advance(0.2).then("menu", SORRY, GREETING)
    silent.advance(5).then("menu", SORRY, GREETING)
    silent.advance(5).then("over", Say("Good bye."))


def test_slow_account() -> None:
    """An account that takes more than ten seconds is forgotten, and asked for again."""
    slow = live_caller("2", "4", "7")
    slow.advance(10).then("menu", SORRY, GREETING)
    for key in "2999":
        slow.when(Digit(key))
    slow.when(Digit("9")).then("ringing", Ring("support for account 9999"))


def test_nobody_answers() -> None:
    """After twenty seconds of ringing the caller may leave a message of a minute."""
    left = live_caller("1").advance(20)
    left.then("message", MESSAGE, Record("sales"))
    left.advance(60).then("over", THANKS)


def test_end_of_message() -> None:
    """A hash ends the message, and no other key does."""
    message = caller("1").after(TimeUp())
    message.when(Digit("5")).then_policy(Policy.IGNORE)
    message.when(Digit("#")).then("over", THANKS)


@pytest.mark.parametrize("state", ["menu", "account", "ringing", "message"])
def test_hang_up(state: str) -> None:
    """The caller may hang up at any time."""
    given(menu_machine, Call(), state).when(HungUp()).then("over")


@pytest.mark.parametrize(
    ("state", "event", "policy"),
    [
        ("menu", Answered(), Policy.REJECT),
        ("account", Answered(), Policy.REJECT),
        ("ringing", Digit("1"), Policy.IGNORE),
        ("message", Answered(), Policy.IGNORE),
        ("over", Digit("1"), Policy.IGNORE),
        ("over", Answered(), Policy.IGNORE),
        ("over", HungUp(), Policy.IGNORE),
        ("over", TimeUp(), Policy.IGNORE),
    ],
)
def test_everything_else(state: str, event: Event, policy: Policy) -> None:
    """What no row takes is ignored where it can happen, and refused where it cannot."""
    given(menu_machine, Call(), state).when(event).then_policy(policy)


def test_third_mistake_at_the_account() -> None:
    """Silence at the account ends the call of a caller who made two mistakes before."""
    caller("9", "9", "2").when(TimeUp()).then("over", Say("Good bye."))
