"""What a text consists of: documents, each in one split."""

import hashlib
from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate
from typing import NamedTuple

# In order of precedence: what is judged comes first, what merely trains comes last.
SPLITS = ("test", "threshold", "tuning", "calibration", "finetune", "teacher_train", "host_train")


class Document(NamedTuple):
    """A piece of text that stands for itself, such as a module's docstrings or a row of a dataset."""

    name: str
    text: str
    label: str = ""  # what a labelled text says of it


def name_hash(module: str) -> int:
    """A number below 2^64 that depends on nothing but the module's name."""
    return int.from_bytes(hashlib.sha256(module.encode()).digest()[:8])


def split_of(module: str, shares: Mapping[str, float]) -> str:
    """The split a module falls into: a hash of its name against the cumulative shares."""
    names = [s for s in SPLITS if s in shares]
    edges = list(accumulate(shares[s] for s in names))
    u = name_hash(module) / 2**64
    return names[min(bisect_right(edges, u * edges[-1]), len(names) - 1)]
