"""Join the words of overlapping windows into one text, each spoken word once.

Windows overlap, and the words of a window that ends in mid-speech are doubtful near its end. So
the merger commits what no later window can change for the better, holds the rest back, and lets the
next window, which hears the overlap again, confirm or replace it. Committed words are never taken
back.

Two windows are aligned over normalised words whose times agree: the same word at another time is
a word said twice, and stays. Left of the last word that both windows know, the earlier window is
right (the later one may have begun in mid-word); right of it, the later one is.
"""

import re
from collections import deque
from collections.abc import Sequence
from itertools import takewhile

from callfsm.call.segmenter import Cut
from callfsm.call.windows import Window
from callfsm.words import Word

CONTEXT_EDGE_S = 0.1  # words that end later than this after the context's end are new
SAME_WORD_S = 0.6  # word times are good to 0.1 s, at the edge of a window to a few times that
REMEMBERED_WORDS = 96  # more than are spoken in the longest window (10 s at 5 words a second)

_NOT_WORD = re.compile(r"[^\w']+")


def normalized(text: str) -> str:
    """A word as alignment sees it: lower case, no punctuation."""
    return _NOT_WORD.sub("", text).lower()


def last_match(left: Sequence[Word], right: Sequence[Word]) -> tuple[int, int] | None:
    """The last pair of indices in the best alignment of two sequences, or None.

    The best alignment is the common subsequence with the most words whose times agree within
    `SAME_WORD_S`; among equals, the one whose times agree best.
    """
    right_words = [normalized(word.text) for word in right]
    best: list[tuple[float, tuple[int, int] | None]] = [(0.0, None)] * (len(right) + 1)
    for i, word in enumerate(left):
        text, middle_s = normalized(word.text), (word.start_s + word.end_s) / 2
        row = [best[0]]
        for j, other in enumerate(right):
            score = max(best[j + 1], row[j], key=lambda cell: cell[0])
            apart_s = abs(middle_s - (other.start_s + other.end_s) / 2)
            if text == right_words[j] and apart_s <= SAME_WORD_S:
                matched = best[j][0] + 1.0 - 0.4 * apart_s / SAME_WORD_S
                if matched > score[0]:
                    score = (matched, (i, j))
            row.append(score)
        best = row
    return best[-1][1]


def agreed(words: Sequence[Word], others: Sequence[Word]) -> int:
    """How many words from the start are the same in both (LocalAgreement: Liu et al., 2020)."""
    pairs = zip(words, others, strict=False)
    return len(list(takewhile(lambda p: normalized(p[0].text) == normalized(p[1].text), pairs)))


class Merger:
    """The text of one call. All times are the call's audio time."""

    __slots__ = ("_before", "_committed", "_overlap_s", "failures", "held", "unaligned")

    def __init__(self, overlap_s: float) -> None:
        self._overlap_s = overlap_s
        self._committed: deque[Word] = deque(maxlen=REMEMBERED_WORDS)
        self._before: tuple[float, float] | None = None  # fresh_s, end_s of the window before
        self.held: tuple[Word, ...] = ()  # heard, and not committed yet
        self.unaligned = 0  # overlaps without a common word, joined by time alone
        self.failures = 0  # windows whose word times were no use, forwarded whole

    def merge(self, window: Window, words: tuple[Word, ...]) -> tuple[Word, ...]:
        """Take the words of a window (in the call's time); return those that are now committed."""
        if window.fresh_s > window.start_s:
            words = self._without_context(words, window.fresh_s)
        confirmed: tuple[Word, ...] = ()
        if not _ordered(words):
            self.failures += 1
            confirmed, fresh, sure = self.held, words, len(words)
        elif self._before is not None and window.fresh_s == self._before[0]:
            fresh = self._after_committed(words)
            sure = max(agreed(fresh, self.held), self._final(window, fresh))
        else:
            confirmed, fresh = self._join(window, words) if window.overlaps else (self.held, words)
            sure = self._final(window, fresh)
        self._before = window.fresh_s, window.end_s
        self.held = fresh[sure:]
        return self._commit(confirmed + fresh[:sure])

    def settle(self) -> tuple[Word, ...]:
        """Commit what is held: nothing more will be heard of it."""
        held, self.held = self.held, ()
        return self._commit(held)

    def _final(self, window: Window, fresh: Sequence[Word]) -> int:
        """How many words no later window will hear again."""
        if window.cut is Cut.EAGER:
            return 0
        if not window.cut.in_speech:
            return len(fresh)
        again_s = window.end_s - self._overlap_s
        return len(list(takewhile(lambda word: word.end_s <= again_s, fresh)))

    def _without_context(self, words: tuple[Word, ...], fresh_s: float) -> tuple[Word, ...]:
        """The words spoken after the context; a pause lies between."""
        fresh = tuple(word for word in words if word.end_s > fresh_s + CONTEXT_EDGE_S)
        if fresh and self._committed and fresh[0].start_s < fresh_s:
            # The word across the edge is the one before the pause, if it is the same word.
            last = self._committed[-1]
            return fresh[normalized(last.text) == normalized(fresh[0].text) :]
        return fresh

    def _after_committed(self, words: tuple[Word, ...]) -> tuple[Word, ...]:
        """The words of a window that follow what is committed already."""
        committed = tuple(self._committed)
        if not committed:
            return words
        match = last_match(committed, words)
        after = 0 if match is None else match[1] + 1
        if match is None or match[0] + 1 < len(committed):
            end_s = committed[-1].end_s
            return tuple(w for w in words[after:] if (w.start_s + w.end_s) / 2 > end_s)
        return words[after:]

    def _join(
        self, window: Window, words: tuple[Word, ...]
    ) -> tuple[tuple[Word, ...], tuple[Word, ...]]:
        """(held words that the overlap leaves standing, words that are new)."""
        if self._committed and self._committed[-1].end_s > window.start_s:
            words = self._after_committed(words)
        match = last_match(self.held, words)
        if match is not None:
            return self.held[: match[0] + 1], words[match[1] + 1 :]
        if not self.held or not words:
            return self.held, words
        self.unaligned += 1
        _, before_end_s = self._before or (0.0, window.start_s)
        middle_s = (window.start_s + before_end_s) / 2
        confirmed = tuple(w for w in self.held if (w.start_s + w.end_s) / 2 <= middle_s)
        fresh = tuple(w for w in words if (w.start_s + w.end_s) / 2 > middle_s)
        return confirmed, fresh

    def _commit(self, words: tuple[Word, ...]) -> tuple[Word, ...]:
        self._committed.extend(words)
        return words


def _ordered(words: Sequence[Word]) -> bool:
    """Whether the times can be used: words follow each other, and none ends before it starts."""
    starts = [word.start_s for word in words]
    return starts == sorted(starts) and all(word.end_s >= word.start_s for word in words)
