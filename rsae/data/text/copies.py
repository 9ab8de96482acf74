"""Copies among documents: what was trained on must not be judged on, in other words neither.

A document is a copy where most of what it says stands in one document or several before it: more than half of its runs
of :data:`RUN` tokens or words. Of those runs a fixed sixteenth is looked at, chosen by their hash (Broder 1997,
"0 mod p" sketches), so that memory stays a sixteenth of the text's.
"""

import hashlib
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

RUN = 6  # tokens or words; long enough that a phrase everybody writes is no evidence
SKETCH = 16  # one run in so many is looked at
MOST = 0.5  # share of a document's runs that may have stood before it

T = TypeVar("T")


def distinct(documents: Iterable[tuple[T, Sequence[Hashable]]]) -> Iterator[tuple[T, bool]]:
    """Each document with whether it is the first of its kind; ``documents`` are (anything, its tokens or words)."""
    seen: set[int] = set()
    for document, words in documents:
        marks = sketch(words)
        copied = len(marks & seen) > MOST * len(marks)
        if not copied:
            seen |= marks
        yield document, not copied


def sketch(words: Sequence[Hashable]) -> set[int]:
    """Hashes of a fixed sixteenth of all runs of ``words``, and of the whole, which a short text consists of."""
    runs = (tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1))
    marks = {mark for run in runs if (mark := _hash(run)) % SKETCH == 0}
    return marks or {_hash(tuple(words))}


def words(text: str) -> list[str]:
    """What a text says, blind to case and white space."""
    return text.lower().split()


def _hash(run: tuple[Hashable, ...]) -> int:
    return int.from_bytes(hashlib.blake2b(repr(run).encode(), digest_size=8).digest())
