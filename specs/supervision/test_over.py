"""gone and escalated: it is over, in peace or not."""

from callfsm.fsm.table import Event, Policy
from specs.policies import every_other_event
from specs.supervision.scenes import EVERY_EVENT, escalated, gone


@every_other_event(ignored=EVERY_EVENT)
def test_gone(event: Event, policy: Policy) -> None:
    """Whatever comes after the last child has ended is ignored."""
    gone().when(event).then_policy(policy)


@every_other_event(ignored=EVERY_EVENT)
def test_escalated(event: Event, policy: Policy) -> None:
    """Whatever comes after it was too much is ignored."""
    escalated().when(event).then_policy(policy)
