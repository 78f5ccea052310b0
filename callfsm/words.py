"""A word and when it was spoken: the currency between engines, de-duplication and links."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Word:
    """One recognised word.

    `text` is as the model printed it, punctuation included, without surrounding space. Times are
    seconds; who hands the word over says from where they count (an engine: the first sample of its
    window; the call: the first sample of the call). `start_s` <= `end_s`, both good to about 0.1 s.
    `probability` is the lowest probability of the word's tokens, 0..1.
    """

    text: str
    start_s: float
    end_s: float
    probability: float = 1.0

    @property
    def middle_s(self) -> float:
        """What two passes agree on best: starts and ends are off by the pauses around a word."""
        return (self.start_s + self.end_s) / 2


def shifted(words: tuple[Word, ...], by_s: float) -> tuple[Word, ...]:
    """The same words, `by_s` seconds later."""
    return tuple(Word(w.text, w.start_s + by_s, w.end_s + by_s, w.probability) for w in words)


def as_text(words: tuple[Word, ...]) -> str:
    """The words joined by single spaces."""
    return " ".join(w.text for w in words)
