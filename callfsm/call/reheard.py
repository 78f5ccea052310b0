"""How many words of a pass are the committed ones, heard otherwise."""

from collections.abc import Sequence
from itertools import accumulate

from callfsm.words import Word

ASIDE_S = 0.4
NEAR = 0.1


def heard_again(committed, words):
    said = _letters(committed)
    end_s = committed[-1].end_s
    costs = []
    for count in range(len(words) + 1):
        again = _letters(words[:count])
        unlike = _edits(said, again) / max(len(said), len(again), 1) * max(len(committed), count)
        before = [0.0, *(w.end_s for w in words)]
        late = sum(_aside(before[i] - end_s) + NEAR * (_middle_s(words[i]) > end_s) for i in range(count))
        early = sum(_aside(end_s - w.end_s) + NEAR * (_middle_s(w) <= end_s) for w in words[count:])
        costs.append(unlike + late + early)
    return costs.index(min(costs))


def _aside(late_s):
    return min(1.0, max(0.0, late_s) / ASIDE_S)


def _letters(words):
    return "".join(filter(str.isalnum, "".join(w.text for w in words).lower()))


def _edits(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


def _middle_s(word):
    return (word.start_s + word.end_s) / 2
