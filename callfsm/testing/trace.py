"""What happened, told in sentences: the trace under the message of a spec that fails."""

from collections.abc import Iterator

from callfsm.fsm.machine import STATE_TIMER, Step, Turn
from callfsm.fsm.table import CancelTimer, Effect, Event, Policy, SetTimer

LONG = 80  # characters; a longer value (it holds audio, say) is told by its type

POLICIES = {
    Policy.IGNORE: "it was ignored",
    Policy.POSTPONE: "it was postponed",
    Policy.REJECT: "it was rejected",
}


def sentences(turn: Turn) -> Iterator[str]:
    """One sentence a step, the last with what the whole turn asked for."""
    last = len(turn.steps) - 1
    for index, step in enumerate(turn.steps):
        asked = asked_for(turn) if index == last else []
        tail = f", asked for {', '.join(map(_short, asked))}" if asked else ""
        verb = "followed" if index else "came"
        yield f"in {step.source}, {_short(step.event)} {verb}: {_outcome(step)}{tail}"


def asked_for(turn: Turn) -> list[Effect]:
    """The turn's effects without the timer of a state's own time-out, which the state declares."""
    return [effect for effect in turn.effects if not _is_state_timer(effect)]


def _short(value: Event | Effect) -> str:
    """A value as it would be written, or only its type when that says more."""
    text, name = repr(value), type(value).__name__
    if not text.startswith(name) or text == f"{name}()":
        return name
    return text if len(text) <= LONG else f"{name}(…)"


def _outcome(step: Step) -> str:
    if step.policy is not None:
        return POLICIES[step.policy]
    if step.source != step.target:
        return f"went to {step.target}"
    entered_again = step.row is not None and step.row.target == step.target
    return f"entered {step.target} again" if entered_again else f"stayed in {step.target}"


def _is_state_timer(effect: Effect) -> bool:
    return isinstance(effect, SetTimer | CancelTimer) and effect.name == STATE_TIMER
