"""The four looks of a state, the same in every drawing; light fills that stand on any page."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Look:
    """Colours of one kind of state, and what the legend says of it."""

    fill: str
    line: str
    text: str
    legend: str


LOOKS = {
    "initial": Look("#dbeafe", "#2563eb", "#172554", "starts here"),
    "waiting": Look("#dcfce7", "#15803d", "#052e16", "waits for an event"),
    "passing": Look("#fef3c7", "#b45309", "#451a03", "left in the same turn"),
    "final": Look("#e5e7eb", "#4b5563", "#111827", "the end"),
}

LIVE = "#dc2626"  # the state a machine is in, and the edge it took
