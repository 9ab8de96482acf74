"""The text around the tokens on which a feature is strongest."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rsae.data.text.tokens import TokenRows
from rsae.sae.model import SAE

BEFORE, AFTER = 14, 8  # tokens around the strongest one
SHOWN = 4  # contexts per feature and SAE


class Text(NamedTuple):
    """Every token of text in harvest order, BOS left out."""

    ids: np.ndarray  # [n_tok]
    document: np.ndarray  # [n_tok]
    names: dict[int, str]

    @classmethod
    def of(cls, rows: TokenRows) -> "Text":
        """The tokens that activations were harvested at."""
        ids = [row.ids[int(rows.bos) :] for row in rows.rows]
        document = np.repeat([row.document for row in rows.rows], [len(i) for i in ids])
        return cls(np.concatenate(ids), document, {row.document: row.name for row in rows.rows})

    def window(self, token: int) -> slice:
        """Tokens around ``token`` within its document."""
        start, stop = max(0, token - BEFORE), min(len(self.ids), token + AFTER + 1)
        inside = np.flatnonzero(self.document[start:stop] == self.document[token])
        return slice(start + int(inside[0]), start + int(inside[-1]) + 1)


def apart(tokens: Sequence[int], n: int = SHOWN) -> list[int]:
    """The first ``n`` tokens whose windows do not repeat an earlier one's middle."""
    chosen: list[int] = []
    for token in tokens:
        if token >= 0 and all(abs(token - other) > AFTER for other in chosen) and len(chosen) < n:
            chosen.append(int(token))
    return chosen


@torch.no_grad()
def contexts(
    sae: SAE, x: Tensor, text: Text, feature: int, tokens: Sequence[int], word: Callable[[int], str]
) -> list[dict[str, Any]]:
    """Words and hard codes of ``feature`` around each of ``tokens``; ``x`` [n_tok, d_in] are all activations."""
    found = []
    for token in apart(tokens):
        where = text.window(token)
        z = sae.hard(sae.encode(x[where]))[:, feature]
        found.append(
            {
                "document": text.names[int(text.document[token])],
                "words": [word(int(i)) for i in text.ids[where]],
                "codes": [round(float(v), 3) for v in z],
                "at": token - where.start,
            }
        )
    return found
