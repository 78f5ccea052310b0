"""Which words of a pass are committed ones that it has understood otherwise.

A pass hears again what is committed already, and may hear another word there: "11th" where "11" is
committed, "login" for "log in". Such a word is not new. It looks like the committed ones, and could
have been spoken when they were. A word that does neither is new, unless it stands in their place in
what earlier passes heard to its end.
"""

from collections.abc import Sequence

from callfsm.words import Word

ASIDE_S = 0.25  # a word so much later than it should be weighs as much as a word that is missing
ALIKE = 0.5  # the largest share of other letters in the same word
NEARER = 0.1  # what decides between equals: on which side of the committed words it is
SETTLED = 0.5  # as much as half a word: what was heard to its end by another pass is seldom new
LONG_WORD_S = 0.99  # engines give no word more: a pause is before it, or it was spoken in there


def heard_again(committed: Sequence[Word], words: Sequence[Word], settled_s: float) -> int:
    """How many of `words`, from the start, are `committed` (one word or more) heard otherwise.

    Both follow the last word that is the same in both. Of all beginnings, the one that is most like
    `committed` in its letters while its times, and those of the words after it, fit best. Up to
    `settled_s` earlier passes heard everything to its end.
    """
    end_s = committed[-1].end_s
    after = [_late(word, end_s) for word in words]
    before = [_early(word, end_s, settled_s) for word in words]
    costs = [
        _unlikeness(committed, words[:count]) + sum(after[:count]) + sum(before[count:])
        for count in range(len(words) + 1)
    ]
    return costs.index(min(costs))


def _unlikeness(words: Sequence[Word], others: Sequence[Word]) -> float:
    """Roughly how many words differ; 0.5 is one word of which half the letters do.

    Where more do, they are other words.
    """
    some, more = _letters(words), _letters(others)
    share = _edits(some, more) / max(len(some), len(more), 1)
    return max(len(words), len(others)) * (share if share <= ALIKE else 1.0)


def _late(word: Word, end_s: float) -> float:
    """What speaks against a word that ended by `end_s`: that it cannot begin before."""
    earliest_s = word.start_s if word.end_s - word.start_s < LONG_WORD_S else 0.0
    return _weight(earliest_s - end_s) + NEARER * (word.middle_s > end_s)


def _early(word: Word, end_s: float, settled_s: float) -> float:
    """What speaks against a new word, spoken after `end_s`: that it has ended by then, and that
    earlier passes, which heard everything up to `settled_s`, did not hear it."""
    is_settled = word.end_s <= settled_s
    return _weight(end_s - word.end_s) + NEARER * (word.middle_s <= end_s) + SETTLED * is_settled


def _weight(aside_s: float) -> float:
    return min(1.0, max(0.0, aside_s) / ASIDE_S)


def _letters(words: Sequence[Word]) -> str:
    return "".join(filter(str.isalnum, "".join(word.text for word in words).lower()))


def _edits(some: str, more: str) -> int:
    """The fewest letters to insert, drop or replace (Levenshtein, 1965)."""
    row = list(range(len(more) + 1))
    for i, letter in enumerate(some, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(more, 1):
            changed = diagonal + (letter != other)
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, changed)
    return row[-1]
