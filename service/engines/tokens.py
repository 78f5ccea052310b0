"""Joins the tokens of a decoder into words with times.

Whisper's tokens are pieces of UTF-8, not of words: a token that begins with a space begins a word,
every other one continues it (punctuation too), and one letter may be split over two tokens.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from callfsm.words import Word

MAX_WORD_S = 1.0  # longer words are rarer than pauses that alignment gives to the word after them


@dataclass(frozen=True, slots=True)
class Token:
    """One text token: its raw UTF-8 `text`, 0..1 `probability`, and where it is heard to end.

    Seconds from the start of the window; `end_s` is None where the decoder has no time for it.
    """

    text: bytes
    probability: float
    end_s: float | None

    @property
    def spoken(self) -> bool:
        """Whether it holds more than punctuation, whose time is that of the pause around it."""
        return any(byte >= 0x80 or chr(byte).isalnum() for byte in self.text)


def words_of(tokens: Iterable[Token], duration_s: float) -> tuple[Word, ...]:
    """The words that `tokens` spell, with times inside 0..`duration_s` that never run backwards.

    Only token ends are known, so a word starts where the word before it ends, and not more than
    MAX_WORD_S before its own end. Bytes that are not UTF-8 are dropped.
    """
    words: list[Word] = []
    previous_end_s = 0.0
    for group in _groups(tokens):
        text = b"".join(token.text for token in group).decode("utf-8", errors="ignore").strip()
        if not text:
            continue
        spoken = [token.end_s for token in group if token.end_s is not None and token.spoken]
        end_s = min(max([previous_end_s, *spoken[-1:]]), duration_s)
        start_s = max(previous_end_s, end_s - MAX_WORD_S)
        words.append(Word(text, start_s, end_s, min(token.probability for token in group)))
        previous_end_s = end_s
    return tuple(words)


def _groups(tokens: Iterable[Token]) -> Iterator[list[Token]]:
    """The tokens of each word."""
    group: list[Token] = []
    for token in tokens:
        if group and token.text.startswith(b" "):
            yield group
            group = []
        group.append(token)
    if group:
        yield group
