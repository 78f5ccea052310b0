"""The three actors in their surroundings, as data that can be copied, compared and run on.

Mailboxes, postponed events and timers follow `fsm.actor`: one event a turn, actors take turns in
the order in which they got mail, a time-out that was set again or cancelled is void. There is no
clock: any timer that runs may be the next to run out, so nothing is true by good timing alone. A
machine that reached its end still gets its mail here: it must ignore it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from callfsm.call.call import Call
from callfsm.call.events import AudioReceived
from callfsm.call.table import call_machine
from callfsm.explore import rules
from callfsm.explore.choices import NOTHING_MORE, Bounds, Choice, Move, TimeOut, settings_of
from callfsm.explore.surroundings import CALL, INFERENCE, LINK, LoudIsSpeech, Mail, Surroundings
from callfsm.fsm.actor import TimedOut
from callfsm.fsm.machine import Machine, Step, Turn, UnexpectedEvent
from callfsm.fsm.table import CancelTimer, Event, Policy, SetTimer
from callfsm.inference.events import ContextReady
from callfsm.inference.pool import Pool
from callfsm.inference.table import inference_machine
from callfsm.link.link import SETTLE, Link
from callfsm.link.table import link_machine

Machines = Mapping[str, Machine[Any]]

MACHINES: Machines = {CALL: call_machine, INFERENCE: inference_machine, LINK: link_machine}


@dataclass(slots=True)
class Member:
    """One actor: its model, its mail, and the timers that run."""

    model: Any
    mail: list[Event] = field(default_factory=list)
    postponed: list[Event] = field(default_factory=list)
    timers: dict[str, Event] = field(default_factory=dict)

    def drop_time_outs(self, name: str) -> None:
        """A time-out on its way is void once its timer is set again or cancelled."""

        def is_void(mail: Event) -> bool:
            return isinstance(mail, TimedOut) and mail.name == name

        self.mail = [mail for mail in self.mail if not is_void(mail)]
        self.postponed = [mail for mail in self.postponed if not is_void(mail)]

    def stop(self) -> None:
        """The machine is at its end: no time-out comes any more."""
        self.mail = [mail for mail in self.mail if not isinstance(mail, TimedOut)]
        self.postponed.clear()
        self.timers.clear()


@dataclass(slots=True)
class System:
    """Everything there is. `problems` says what went wrong so far; `choices` what can happen."""

    members: dict[str, Member]
    around: Surroundings
    ready: list[str] = field(default_factory=list)
    races: int = 0
    heard: int = 0  # pieces of audio that the call took while it was open
    problems: list[str] = field(default_factory=list)

    def choices(self) -> Iterator[Choice | TimeOut]:
        """What can happen next."""
        of_link = list(self.around.of_the_language_model())
        if self.around.bounds.prompt and (of_link or SETTLE in self.members[LINK].timers):
            yield from of_link or (TimeOut(LINK, SETTLE),)
            return
        yield from self.around.choices()
        for actor, member in self.members.items():
            for timer in sorted(member.timers):
                yield TimeOut(actor, timer)


def begin(machines: Machines, bounds: Bounds) -> System:
    """A call that nobody heard of, a context that is ready, and a link that is not connected."""
    models = {CALL: _fresh_call(bounds.looks), INFERENCE: Pool(1), LINK: Link(1)}
    system = System({n: Member(m) for n, m in models.items()}, Surroundings(bounds))
    for name, member in system.members.items():
        _carry_out(system, name, machines[name].start(member.model))
    system.around.context = ""
    _post(system, (INFERENCE, ContextReady(0)))
    settle(system, machines)
    return system


def happen(system: System, machines: Machines, move: Move) -> list[tuple[str, Step]]:
    """Let this happen, and then every actor handle its mail, unless something comes before.

    What the machines did is returned, what went wrong added to `problems`.
    """
    choice = move.choice
    if isinstance(choice, TimeOut):
        event = system.members[choice.actor].timers.pop(choice.timer)
        _post(system, (choice.actor, TimedOut(choice.timer, event)))
    else:
        for mail in system.around.act(choice):
            _post(system, mail)
    system.races += not move.seen
    return settle(system, machines) if move.seen else []


def settle(system: System, machines: Machines) -> list[tuple[str, Step]]:
    """Let every actor handle its mail, and what follows from it, while time stands still."""
    trace: list[tuple[str, Step]] = []
    while system.ready and not system.problems:
        name = system.ready.pop(0)
        if system.members[name].mail:
            trace += ((name, step) for step in _take_turn(system, machines, name))
        if system.members[name].mail and name not in system.ready:
            system.ready.append(name)
    if not system.problems:
        system.problems += _problems_at_rest(system)
    return trace


def _problems_at_rest(system: System) -> Iterator[str]:
    call, around = system.members[CALL], system.around
    yield from rules.call_at_rest(call.model, call.timers, around)
    yield from rules.inference_at_rest(system.members[INFERENCE].model)
    yield from rules.link_at_rest(system.members[LINK].model, around)
    if not any(True for _ in system.choices()):
        yield from rules.at_the_end(call.model, around)


def end(system: System, machines: Machines) -> None:
    """Nothing comes from outside any more, but what has to."""
    if not system.problems:
        system.around.bounds = replace(NOTHING_MORE, looks=system.around.bounds.looks)
        settle(system, machines)


def _take_turn(system: System, machines: Machines, name: str) -> list[Step]:
    member = system.members[name]
    mail = member.mail.pop(0)
    event = mail.event if isinstance(mail, TimedOut) else mail
    state = member.model.state
    try:
        if name == CALL:
            turn = _take_call_turn(system, machines[CALL], event)
        else:
            turn = machines[name].handle(member.model, event)
            _carry_out(system, name, turn)
    except UnexpectedEvent as error:
        system.problems.append(rules.rejected(error, isinstance(mail, TimedOut)))
        return [Step(error.state, error.event, error.state, None, Policy.REJECT)]
    except Exception as error:
        system.problems.append(f"crash: {type(error).__name__}: {error}")
        return [Step(state, event, member.model.state, None)]
    for step in turn.steps:
        if step.policy is Policy.POSTPONE:
            member.postponed.append(mail if step.event is event else step.event)
        elif step.source != step.target:
            member.mail[:0] = member.postponed
            member.postponed.clear()
    if machines[name].is_final(member.model):
        member.stop()
    system.problems += system.around.problems
    return turn.steps


def _take_call_turn(system: System, machine: Machine[Any], event: Event) -> Turn:
    """A turn of the call, and what the rules say of it."""
    member, around = system.members[CALL], system.around
    call, was_over, was_draining = member.model, around.ended, member.model.draining
    turn = machine.handle(call, event)
    _carry_out(system, CALL, turn)
    if was_over:
        system.problems += rules.after_closed(turn)
        return turn
    system.heard += isinstance(event, AudioReceived)
    if around.ended:
        system.problems += rules.text_of(around, system.heard)
        member.model = _fresh_call(around.bounds.looks)  # all closed calls are alike
        member.model.state = call.state
        around.forget_call()
    elif call.draining and not was_draining:
        system.problems += rules.audio_is_over(member.timers)
    return turn


def _carry_out(system: System, name: str, turn: Turn) -> None:
    member = system.members[name]
    for effect in turn.effects:
        match effect:
            case SetTimer(name=timer, event=event):
                member.drop_time_outs(timer)
                member.timers[timer] = event
            case CancelTimer(timer):
                member.drop_time_outs(timer)
                member.timers.pop(timer, None)
            case _:
                for mail in system.around.perform(effect):
                    _post(system, mail)


def _post(system: System, mail: Mail) -> None:
    name, event = mail
    system.members[name].mail.append(event)
    if name not in system.ready:
        system.ready.append(name)


def _fresh_call(looks: bool) -> Call:
    return Call(1, settings_of(looks), LoudIsSpeech())
