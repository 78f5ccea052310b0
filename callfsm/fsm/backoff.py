"""Back-off: who fails again and again waits longer each time, up to a limit."""


def growing_wait_s(failures: int, first_s: float, longest_s: float, factor: float = 2.0) -> float:
    """How long to wait after so many failures in a row: `first_s` after the first, and after each
    further one `factor` times as long, but never longer than `longest_s`."""
    try:
        return min(longest_s, first_s * factor ** (failures - 1))
    except OverflowError:  # no float is as large; the limit was reached long ago
        return longest_s
