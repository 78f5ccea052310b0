"""A link brought into each of its states on the way that a real one takes."""

from callfsm.link import events as ev
from callfsm.link.link import Link
from callfsm.link.table import link_machine
from callfsm.runtimes.simulated import SimulatedRuntime
from callfsm.testing import Scenario, Simulation, given, simulate

HELLO, BYE = ev.Deliver("hello"), ev.Deliver("good bye")


def disconnected() -> Scenario[Link]:
    return given(link_machine, Link(7))


def connecting() -> Scenario[Link]:
    """The peer was asked, and nothing waits to be delivered."""
    return disconnected().after(ev.Open())


def settling() -> Scenario[Link]:
    return connecting().after(ev.Connected())


def connected() -> Scenario[Link]:
    """The peer keeps the connection, a call is on, and nothing waits to be delivered."""
    return settling().after(ev.Settled())


def kept() -> Scenario[Link]:
    """The same after the call."""
    return connected().after(ev.CallEnded())


def waiting() -> Scenario[Link]:
    """The first attempt failed, and nothing waits to be delivered."""
    return connecting().after(ev.ConnectFailed())


def closed() -> Scenario[Link]:
    return disconnected().after(ev.Close())


def live(runtime: SimulatedRuntime) -> Simulation[Link]:
    """A link that runs as an actor in frozen time, and was asked to open."""
    return simulate(link_machine, Link(7), runtime).after(ev.Open())
