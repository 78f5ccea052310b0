"""Be the caller, on gevent: type keys, or give them all at once.

python -m examples.phone_menu                  # keys, `answer`, `hangup`; Ctrl-D hangs up
python -m examples.phone_menu 2 4711 answer
"""

import sys
from collections.abc import Iterable, Iterator
from typing import Any

import gevent
from gevent.event import Event as Signal

from callfsm.fsm import Actor, Effect, Event, Turn
from callfsm.runtimes.gevent import GeventRuntime
from examples.phone_menu.call import Answered, Call, Digit, HungUp, PutThrough, Record, Ring, Say
from examples.phone_menu.menu import menu_machine


def show(effect: Effect) -> None:
    """The world of this example is the terminal."""
    match effect:
        case Say(text):
            print(f'  "{text}"')
        case Ring(desk):
            print(f"  {desk} rings")
        case PutThrough(desk):
            print(f"  talking to {desk}")
        case Record(desk):
            print(f"  recording a message for {desk}")


def events_of(word: str) -> Iterable[Event]:
    match word:
        case "answer":
            return [Answered()]
        case "hangup":
            return [HungUp()]
        case keys:
            return [Digit(key) for key in keys]


def keyboard() -> Iterator[str]:
    """Words as they are typed, read in a native thread so that time-outs run meanwhile."""
    while line := gevent.get_hub().threadpool.apply(sys.stdin.readline):
        yield from line.split()


def play(caller: Actor[Call], words: Iterable[str]) -> None:
    for word in words:
        print(f"> {word}")
        for event in events_of(word):
            caller.tell(event)
        while caller.waiting:
            gevent.sleep(0)
    caller.tell(HungUp())


def main(script: list[str]) -> None:
    over = Signal()

    def observe(actor: Actor[Any], turn: Turn) -> None:
        if actor.model.state == "over":
            over.set()

    def crashed(error: Exception) -> None:
        print(f"the menu crashed: {error!r}")
        over.set()

    runtime = GeventRuntime()
    caller = Actor(
        "caller",
        menu_machine,
        Call(),
        runtime=runtime,
        perform=show,
        crashed=crashed,
        observers=(observe,),
    )
    runtime.start()
    caller.start()
    player = gevent.spawn(play, caller, script or keyboard())
    over.wait()
    player.kill(block=False)
    runtime.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
