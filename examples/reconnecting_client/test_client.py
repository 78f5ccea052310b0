"""reconnecting client: it keeps a connection, and its requests while there is none."""

import pytest

from callfsm.fsm import Event, Policy
from callfsm.testing import Scenario, Simulation, given, simulate
from examples.reconnecting_client.client import (
    PING,
    PONG,
    Answer,
    Client,
    Close,
    Connect,
    Connected,
    Disconnect,
    Lost,
    Received,
    Request,
    Send,
    TimeUp,
)
from examples.reconnecting_client.table import client_machine


def connecting() -> Scenario[Client]:
    return given(client_machine, Client())


def connected() -> Scenario[Client]:
    return connecting().after(Connected())


def checking() -> Scenario[Client]:
    """Connected, and silent for two seconds."""
    return connected().after(TimeUp())


def live() -> Simulation[Client]:
    """A client in simulated time that has asked for its first connection."""
    return simulate(client_machine, Client())


def test_connects() -> None:
    """A client asks for a connection at once."""
    connecting().then("connecting", Connect())
    connecting().when(Connected()).then("connected")


def test_request_and_answer() -> None:
    """Requests are sent at once, and answered in their order."""
    connected().when(Request("a")).then("connected", Send("a"))
    client = connected().after(Request("a"), Request("b"))
    client.when(Received("A")).then("connected", Answer("a", "A"))
    client.when(Received("B")).then("connected", Answer("b", "B"))


def test_backs_off_exponentially() -> None:
    """After each failure the client waits twice as long, but never more than five seconds."""
    client = live()
    for wait_s in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0):
        client.when(Lost()).then("backing_off", Disconnect())
        client.advance(wait_s - 0.01).then("backing_off")
        client.advance(0.02).then("connecting", Connect())


def test_no_answer_to_the_connect() -> None:
    """A server that does not even refuse counts as a failure after three seconds."""
    live().advance(3).then("backing_off", Disconnect())


def test_an_answer_ends_the_series_of_failures() -> None:
    """Once something was received, the next failure is the first again."""
    for line in (PONG, "A"):
        client = connecting().after(Lost(), TimeUp(), Lost(), TimeUp(), Connected(), Request("a"))
        assert client.model.failures == 2
        assert client.after(Received(line)).model.failures == 0


def test_requests_wait_for_the_connection() -> None:
    """Requests made while there is no connection are sent, in order, when there is one."""
    client = live().after(Request("a"), Lost(), Request("b"))
    client.advance(0.1).then("connecting", Connect())
    client.when(Connected()).then("connected", Send("a"), Send("b"))


def test_unanswered_requests_are_sent_again() -> None:
    """A request that was not answered before the connection broke is sent on the next one."""
    client = connected().after(Request("a"), Request("b"), Received("A"), Lost(), TimeUp())
    client.when(Connected()).then("connected", Send("b"))


def test_heartbeat() -> None:
    """A line that is silent for two seconds is asked for a sign of life."""
    client = live().after(Connected())
    client.advance(1.5).when(Received(PONG)).then("connected")
    client.advance(1.9).then("connected")
    client.advance(0.2).then("checking", Send(PING))
    client.when(Received(PONG)).then("connected")


def test_a_late_answer_is_a_sign_of_life() -> None:
    """An answer to a request is as good as a pong."""
    client = connected().after(Request("a"), TimeUp())
    client.when(Received("A")).then("connected", Answer("a", "A"))


def test_nobody_asked() -> None:
    """A line that answers no request is a sign of life, and no more."""
    connected().when(Received("A")).then("connected")


def test_dead_line() -> None:
    """A line that gives no sign of life for a second is given up."""
    live().after(Connected()).advance(3).then("backing_off", Send(PING), Disconnect())


def test_request_while_checking() -> None:
    """A request made while the line is checked waits for the outcome."""
    client = live().after(Connected()).advance(2)
    client.when(Request("a")).then_policy(Policy.POSTPONE)
    client.when(Received(PONG)).then("connected", Send("a"))


@pytest.mark.parametrize("state", ["connected", "checking"])
def test_broken(state: str) -> None:
    """A connection that breaks is made again after a while."""
    given(client_machine, Client(), state).when(Lost()).then("backing_off", Disconnect())


@pytest.mark.parametrize("state", ["connecting", "connected", "checking", "backing_off"])
def test_close(state: str) -> None:
    """The user may close the client at any time."""
    given(client_machine, Client(), state).when(Close()).then("closed", Disconnect())


@pytest.mark.parametrize(
    ("state", "event", "policy"),
    [
        ("connecting", Request("a"), Policy.POSTPONE),
        ("backing_off", Request("a"), Policy.POSTPONE),
        ("backing_off", Connected(), Policy.IGNORE),
        ("backing_off", Received("A"), Policy.IGNORE),
        ("backing_off", Lost(), Policy.IGNORE),
        ("connecting", Received("A"), Policy.REJECT),
        ("connected", Connected(), Policy.REJECT),
        ("checking", Connected(), Policy.REJECT),
        ("closed", Connected(), Policy.IGNORE),
        ("closed", Received("A"), Policy.IGNORE),
        ("closed", Lost(), Policy.IGNORE),
        ("closed", Request("a"), Policy.IGNORE),
        ("closed", Close(), Policy.IGNORE),
        ("closed", TimeUp(), Policy.IGNORE),
    ],
)
def test_everything_else(state: str, event: Event, policy: Policy) -> None:
    """What no row takes waits, is ignored where it can happen, and refused where it cannot."""
    given(client_machine, Client(), state).when(event).then_policy(policy)
