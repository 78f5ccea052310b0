"""Word error rate: how far a text is from what was said."""

import re
from dataclasses import dataclass

import jiwer

from service.speech.spelling import one_spelling


@dataclass(frozen=True, slots=True)
class WordErrors:
    """Counts of one comparison; add them up to pool a rate over many texts."""

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def reference_words(self) -> int:
        return self.hits + self.substitutions + self.deletions

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def wer(self) -> float:
        """Errors per reference word: 0 is perfect, may exceed 1, infinite if nothing was said."""
        if not self.errors:
            return 0.0
        return self.errors / self.reference_words if self.reference_words else float("inf")

    def __add__(self, other: "WordErrors") -> "WordErrors":
        return WordErrors(
            self.hits + other.hits,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )


def normalize(text: str) -> list[str]:
    """The words of `text` as they are compared.

    Lower case; hyphens, dashes and slashes part words; other punctuation goes ("don't" is "dont");
    numbers and compounds have one spelling.
    """
    parted = re.sub("[-‐-―/]", " ", text.lower())
    words = re.sub(r"[^\w\s]|_", "", parted).split()
    return one_spelling(" ".join(words)).split()


def word_errors(reference: str, hypothesis: str) -> WordErrors:
    """The fewest edits that turn the normalised `reference` into the normalised `hypothesis`."""
    said, heard = normalize(reference), normalize(hypothesis)
    if not said or not heard:  # jiwer refuses empty texts
        return WordErrors(deletions=len(said), insertions=len(heard))
    counts = jiwer.process_words(" ".join(said), " ".join(heard))
    return WordErrors(counts.hits, counts.substitutions, counts.deletions, counts.insertions)
