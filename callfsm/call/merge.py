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
from math import ceil
from typing import NamedTuple, Self, TypeAlias

from callfsm.call.reheard import heard_again
from callfsm.call.segmenter import Cut
from callfsm.call.settings import WindowSettings
from callfsm.call.speech import FRAME_S
from callfsm.call.windows import Window
from callfsm.words import Word

EDGE_S = 0.1  # a word that begins so near to the edge of a window may be cut there
SAME_WORD_S = 0.4  # word times are good to 0.1 s, at the edge of a window to a few times that
ASTRAY_S = 0.8  # beside a pause one end can be this far off: the same word, if no other is
ASTRAY = 0.02  # what such a pair counts, where one at the same time counts 1
DOUBTFUL, DOUBT_S = 0.3, 1.5  # such a word is wrong half of the time, until so much follows it
REPEATED = 3  # so often in a row decoders say a word that do not stop: a longer pass tells
LIKELY = 0.5  # what looks with little context must give a word
SURE, SURE_BEHIND_S = 0.8, 0.1  # so likely twice, a word is as right with less speech after it
ONCE_BEHIND_S = 0.15  # after a sure word at the beginning of an utterance: it is heard once only
OUTSIDE_S = 1.0  # word times this far outside their window are no times
WORDS_A_S = 6  # that are remembered; more are not spoken

_Alignment: TypeAlias = tuple[float, "tuple[int, int, _Alignment] | None"]  # score, last pair

_NOT_WORD = re.compile(r"[^\w']+")


def normalized(text: str) -> str:
    """A word as alignment sees it: lower case, no punctuation."""
    return _NOT_WORD.sub("", text).lower()


def align(
    left: Sequence[Word], right: Sequence[Word], *, astray: bool = False
) -> list[tuple[int, int]]:
    """The pairs of indices, in order, of the words that both sequences know.

    Of all common subsequences the one whose times agree best: a pair counts 1 when its times are
    the same and 0 when they are `SAME_WORD_S` apart, so a
    word said three times is aligned with itself, though a shift would pair as many words. `astray`
    pairs words further apart too, where nothing speaks against it: between passes that both heard
    all of it, not at the edges of windows.
    """
    said: dict[str, list[int]] = {}  # where `right` has each word
    for j, other in enumerate(right):
        said.setdefault(normalized(other.text), []).append(j)
    best: list[_Alignment] = [(0.0, None)] * (len(right) + 1)  # of the first so many of `right`
    for i, word in enumerate(left):
        without = best.copy()
        for j in said.get(normalized(word.text), ()):
            if not (likeness := _likeness(word, right[j], astray)):
                continue
            longer = without[j][0] + likeness, (i, j, without[j])
            for more in range(j + 1, len(best)):
                if best[more][0] >= longer[0]:
                    break
                best[more] = longer
    pairs = []
    _, last = best[-1]
    while last is not None:
        i, j, (_, before) = last
        pairs.append((i, j))
        last = before
    return pairs[::-1]


def agreed(words: Sequence[Word], others: Sequence[Word]) -> int:
    """How many words from the start are the same in both (LocalAgreement: Liu et al., 2020)."""
    pairs = zip(words, others, strict=False)
    return len(list(takewhile(lambda p: normalized(p[0].text) == normalized(p[1].text), pairs)))


class _Heard(NamedTuple):
    """What a window heard, without its audio."""

    start_s: float
    fresh_s: float
    end_s: float
    hushed_from_s: float | None  # since when nobody spoke, of a look in a hush

    @classmethod
    def of(cls, window: Window) -> Self:
        hushed_from_s = window.speech_end_s if window.cut is Cut.HUSH else None
        return cls(window.start_s, window.fresh_s, window.end_s, hushed_from_s)


class Merger:
    """The text of one call. All times are the call's audio time."""

    __slots__ = ("_before", "_committed", "_settings", "failures", "held", "unaligned")

    def __init__(self, settings: WindowSettings) -> None:
        self._settings = settings
        self._committed: deque[Word] = deque(
            maxlen=ceil(WORDS_A_S * max(settings.context_s, settings.buffer_s))
        )
        self._before: _Heard | None = None  # the window before
        self.held: tuple[Word, ...] = ()  # heard, and not committed yet
        self.unaligned = 0  # overlaps without a common word, joined by time alone
        self.failures = 0  # windows whose word times were no use, forwarded whole

    def merge(self, window: Window, words: tuple[Word, ...]) -> tuple[Word, ...]:
        """Take the words of a window (in the call's time); return those that are now committed."""
        if not _timed(window, words):
            return self._give_up(window, words)
        confirmed: tuple[Word, ...] = ()
        agreed_on = 0
        if not words:  # a model that heard nothing says nothing against what was heard
            confirmed, fresh = self._commit(self._not_heard_again(window)), self.held
        elif self._looked_at(window) or window.has_context:
            confirmed = self._commit(self._not_heard_again(window))
            fresh = self._after_committed(window, words)
            agreed_on = self._agreed(window, fresh)
        elif window.overlaps:
            confirmed, fresh = self._join(window, words)
            self._commit(confirmed)
        else:
            confirmed, fresh = self._commit(self.held), words
        at_once = _sure_at_once(window, fresh) if words else 0
        sure = _undoubted(window, fresh, max(agreed_on, at_once, self._final(window, fresh)))
        self._before = _Heard.of(window)
        self.held = fresh[sure:]
        return confirmed + self._commit(fresh[:sure])

    def has_heard_to(self, speech_end_s: float) -> bool:
        """Whether the last window was a look at all of the speech that ended then."""
        hushed_from_s = self._before.hushed_from_s if self._before else None
        return hushed_from_s is not None and abs(hushed_from_s - speech_end_s) < FRAME_S / 2

    def has_committed_since(self, at_s: float) -> bool:
        """Whether a committed word ends after that time."""
        return bool(self._committed) and self._committed[-1].end_s > at_s

    def settle(self) -> tuple[Word, ...]:
        """Commit what is held: nothing more will be heard of it."""
        held, self.held = self.held, ()
        return self._commit(held)

    def _agreed(self, window: Window, fresh: Sequence[Word]) -> int:
        """How many words the pass before heard too, with enough heard after them to be sure.

        The last word may be cut in both, unless it is quiet after it. Looks at a young utterance
        have little context, so only words that are likely count, but for the very first: "The" and
        "the" share its probability.
        """
        if window.cut is Cut.HUSH:
            return agreed(fresh, self.held)
        both = zip(fresh[: agreed(fresh[:-1], self.held)], self.held, strict=False)
        over = [now for now, _ in takewhile(lambda pair: self._is_over(window, *pair), both)]
        if not window.is_young:
            return len(over)
        first = 0 if self.has_committed_since(window.fresh_s) else 1
        likely = takewhile(lambda word: word.probability >= LIKELY, over[first:])
        return len([*over[:first], *likely])

    def _is_over(self, window: Window, now: Word, before: Word) -> bool:
        """Whether enough was heard after a word that two passes agree on."""
        is_sure = min(now.probability, before.probability) >= SURE
        behind_s = self._settings.lookahead_s
        return now.end_s <= window.end_s - (min(SURE_BEHIND_S, behind_s) if is_sure else behind_s)

    def _final(self, window: Window, fresh: Sequence[Word]) -> int:
        """How many words no later window will hear again; of the first look at a window, which no
        pass before can confirm, those that a full window would commit if it ended here."""
        if window.cut.is_look and self._looked_at(window):
            return 0
        if not (window.cut.in_speech or window.cut.is_look):
            return len(fresh)
        again_s = window.end_s - self._settings.overlap_s
        return len(list(takewhile(lambda word: word.end_s <= again_s, fresh)))

    def _looked_at(self, window: Window) -> bool:
        """Whether the pass before heard this window, too, when it was shorter."""
        return self._before is not None and window.fresh_s == self._before.fresh_s

    def _give_up(self, window: Window, words: tuple[Word, ...]) -> tuple[Word, ...]:
        """Forward the words of a window whole, unless all of it will be heard again anyway."""
        if window.cut.is_look:
            return ()
        self.failures += 1
        self._before = _Heard.of(window)
        held = self.settle()
        self._commit(tuple(Word(w.text, window.end_s, window.end_s) for w in words))
        return held + words

    def _after_committed(self, window: Window, words: tuple[Word, ...]) -> tuple[Word, ...]:
        """The words of a window that follow what is committed already."""
        committed = self._recent(window)
        pairs = align(committed + self.held, words, astray=window.has_context)
        return _following(window, committed, pairs, words)

    def _join(
        self, window: Window, words: tuple[Word, ...]
    ) -> tuple[tuple[Word, ...], tuple[Word, ...]]:
        """(held words that the overlap leaves standing, words that can still change)."""
        committed = self._recent(window)
        pairs = align(committed + self.held, words)
        if pairs and pairs[-1][0] >= len(committed):
            left, right = pairs[-1][0] - len(committed), pairs[-1][1]
            if right + 1 == len(words):  # the window may end in this word: take it as heard last
                return self.held[:left], words[right:]
            # The window before ended after this word and may have printed a full stop; as the first
            # of this one it may have a capital.
            known = words[right] if right else self.held[left]
            return (*self.held[:left], known), words[right + 1 :]
        fresh = _following(window, committed, pairs, words)
        if pairs or not self.held:
            return (), fresh
        self.unaligned += 1
        before_end_s = self._before.end_s if self._before else window.start_s
        middle_s = (window.start_s + before_end_s) / 2
        confirmed = tuple(word for word in self.held if word.middle_s <= middle_s)
        return confirmed, tuple(word for word in fresh if word.middle_s > middle_s)

    def _not_heard_again(self, window: Window) -> tuple[Word, ...]:
        """Let go of the held words that begin before the window, which the one before heard whole:
        it hears nothing of them, or a part, which may sound like another word."""
        if self._before is None or window.start_s <= self._before.start_s:
            return ()
        whole_s = window.start_s + EDGE_S
        gone = tuple(takewhile(lambda word: word.start_s < whole_s, self.held))
        self.held = self.held[len(gone) :]
        return gone

    def _recent(self, window: Window) -> tuple[Word, ...]:
        """The committed words that this window may have heard too."""
        return tuple(w for w in self._committed if w.end_s > window.start_s - SAME_WORD_S)

    def _commit(self, words: tuple[Word, ...]) -> tuple[Word, ...]:
        self._committed.extend(words)
        return words


def _sure_at_once(window: Window, fresh: Sequence[Word]) -> int:
    """How many words of a look at a young utterance need no second look."""
    if not window.is_young:
        return 0
    until_s = window.end_s - ONCE_BEHIND_S
    sure = takewhile(lambda word: word.probability >= SURE and word.end_s <= until_s, fresh)
    return len(list(sure))


def _undoubted(window: Window, fresh: Sequence[Word], count: int) -> int:
    """How many of the first `count` words of a look come before one that may not last: a doubtful
    one that what follows may explain, or one that stands REPEATED times in a row."""
    if not window.cut.is_look:
        return count
    until_s = window.end_s - DOUBT_S
    texts = [normalized(word.text) for word in fresh]
    for index, word in enumerate(fresh[:count]):
        is_doubtful = word.probability < DOUBTFUL and word.end_s > until_s
        if is_doubtful or texts[index : index + REPEATED] == [texts[index]] * REPEATED:
            return index
    return count


def _likeness(word: Word, other: Word, astray: bool) -> float:
    """How well a word agrees in time with the same word heard by another pass: 1 to 0."""
    apart_s = abs(word.middle_s - other.middle_s)
    if apart_s < SAME_WORD_S:
        return 1.0 - apart_s / SAME_WORD_S
    ends_apart_s = min(abs(word.start_s - other.start_s), abs(word.end_s - other.end_s))
    return ASTRAY if astray and ends_apart_s < ASTRAY_S else 0.0


def _following(
    window: Window,
    committed: Sequence[Word],
    pairs: Sequence[tuple[int, int]],
    words: tuple[Word, ...],
) -> tuple[Word, ...]:
    """The words after the committed ones; `pairs` are those of the held ones after them, too."""
    last, after, new = -1, 0, len(words)
    for i, j in pairs:
        if i >= len(committed):
            new = j
            break
        last, after = i, j + 1
    otherwise = [word for word in committed[last + 1 :] if word.end_s > window.start_s]
    if otherwise:
        after += heard_again(otherwise, words[after:new], window.fresh_s)
    return words[after:]


def _timed(window: Window, words: Sequence[Word]) -> bool:
    """Whether the times can be used: words in order, inside the window, not ended before begun."""
    starts = [word.start_s for word in words]
    return starts == sorted(starts) and all(
        window.start_s - OUTSIDE_S <= word.start_s <= word.end_s <= window.end_s + OUTSIDE_S
        for word in words
    )
