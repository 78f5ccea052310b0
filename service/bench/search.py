"""Find the largest load that is still borne, with as few probes as can be."""

from collections.abc import Callable

FINE = 10  # the answer is known to a tenth of itself, or to one


def largest(bears: Callable[[int], bool], start: int, most: int) -> int:
    """The largest number up to `most` for which `bears` says yes, or nearly; 0 when 1 is too many.

    Doubles from `start` until it is too much (halves, when that is too much already), then bisects
    until the gap between yes and no is one, or a tenth of the number. Each number is tried once.
    """
    good, bad = 0, most + 1
    trial = min(start, most)
    while good < bad - 1:
        if bears(trial):
            good = trial
        else:
            bad = trial
        if bad > most and good < most:
            trial = min(2 * good, most)
        elif not good:
            trial = bad // 2
        elif bad - good <= max(1, good // FINE):
            break
        else:
            trial = (good + bad) // 2
    return good
