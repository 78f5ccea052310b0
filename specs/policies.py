"""The pairs of a state and an event that no row takes, written out so that a wrong table fails."""

from collections.abc import Sequence

import pytest

from callfsm.fsm.table import Event, Policy


def every_other_event(
    *,
    ignored: Sequence[Event] = (),
    postponed: Sequence[Event] = (),
    rejected: Sequence[Event] = (),
) -> pytest.MarkDecorator:
    """Run a spec once per event, with the `policy` that the event must meet."""
    pairs = [
        *((event, Policy.IGNORE) for event in ignored),
        *((event, Policy.POSTPONE) for event in postponed),
        *((event, Policy.REJECT) for event in rejected),
    ]
    return pytest.mark.parametrize(
        ("event", "policy"),
        [pytest.param(e, p, id=f"{p.value} {type(e).__name__}") for e, p in pairs],
    )
