"""The small shapes that states and the legend share, as SVG; `x` and `y` are their centres."""


def again(x: int, y: int) -> str:
    """A turning arrow: the state is left and entered again."""
    turn = f'<path class="sign" d="M{x + 2} {y - 4}A4.5 4.5 0 1 0 {x + 4} {y + 2}"/>'
    return f'{turn}<path class="sign" d="M{x - 1} {y - 6}L{x + 3} {y - 4}L{x} {y - 1}"/>'


def stays(x: int, y: int) -> str:
    """A dot: the state is not left."""
    return f'<circle class="head" cx="{x}" cy="{y}" r="2"/>'


def clock(x: int, y: int) -> str:
    """A clock: a time-out."""
    face = f'<circle class="sign timeout-sign" cx="{x}" cy="{y}" r="5"/>'
    return f'{face}<path class="sign timeout-sign" d="M{x} {y - 3}V{y}H{x + 3}"/>'


def rect(x: int, y: int, width: int, height: int, radius: int = 8) -> str:
    """A rectangle by its upper left corner."""
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="{radius}"/>'
