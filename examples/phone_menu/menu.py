"""The whole behaviour of the phone menu: five states, and what leads from one to the next."""

from callfsm.fsm import STAY, After, Kind, Machine, Policy, Rest, Row, State, Table
from examples.phone_menu import call as do
from examples.phone_menu.call import Answered, Call, Digit, HungUp, TimeUp

ASKING = ("menu", "account")
OPEN = (*ASKING, "ringing", "message")


MENU: Table[Call] = Table(
    name="phone menu",
    note="a caller presses keys, and is put through or leaves a message",
    initial="menu",
    states=(
        State("menu", "which desk?", enter=do.greet, after=After(5, TimeUp())),
        State("account", "which account?", enter=do.ask_for_account, after=After(10, TimeUp())),
        State("ringing", "the desk rings", enter=do.ring, after=After(20, TimeUp())),
        State("message", "the caller speaks", enter=do.record, after=After(60, TimeUp())),
        State("over", "the menu has done its part", Kind.FINAL, rest=Policy.IGNORE),
    ),
    rows=(
        Row("menu", Digit, "ringing", when=do.is_sales),
        Row("menu", Digit, "account", when=do.is_support),
        Row("menu", Digit, "menu", do.apologise, when=do.may_try_again),
        Row("menu", Digit, "over", do.give_up),
        Row(ASKING, TimeUp, "menu", do.apologise, when=do.may_try_again),
        Row(ASKING, TimeUp, "over", do.give_up),
        Row("account", Digit, "ringing", do.choose_support, when=do.is_last_digit),
        Row("account", Digit, STAY, do.take_digit),
        Row("ringing", Answered, "over", do.put_through),
        Row("ringing", TimeUp, "message"),
        Row("message", Digit, "over", do.thank, when=do.is_hash),
        Row("message", TimeUp, "over", do.thank),
        Row(OPEN, HungUp, "over"),
    ),
    rest=(
        Rest("ringing", (Digit,), Policy.IGNORE, "nobody listens for keys"),
        Rest("message", (Digit,), Policy.IGNORE, "only # ends a message"),
        Rest("message", (Answered,), Policy.IGNORE, "too late: the caller speaks already"),
        Rest(ASKING, (Answered,), Policy.REJECT, "no desk rings"),
    ),
)

menu_machine = Machine(MENU)
