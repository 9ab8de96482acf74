"""Token ids that somebody else padded: what is no text is taken away, for a host reads it as text."""

from collections.abc import Collection, Sequence

import numpy as np
from jaxtyping import Bool, Int


def by_mask(
    ids: Int[np.ndarray, "n_row len"], mask: Bool[np.ndarray, "n_row len"]
) -> list[Int[np.ndarray, " len_of_row"]]:
    """What an attention mask keeps of each row.

    Raises:
        ValueError: a row's text is not in one piece, or there is none.
    """
    for i, kept in enumerate(mask):
        edges = np.flatnonzero(np.diff(np.r_[False, kept, False]))
        if len(edges) != 2:
            said = "keeps nothing" if len(edges) == 0 else "keeps several pieces"
            raise ValueError(f"attention_mask {said} of row {i}; a row is one stretch of text between its padding")
    return [row[kept] for row, kept in zip(ids, mask, strict=True)]


def by_runs(
    ids: Int[np.ndarray, "n_row len"], special: Collection[int], bos_id: int | None
) -> tuple[list[Int[np.ndarray, " len_of_row"]], int]:
    """Each row without the runs of one of the ``special`` ids (padding, end, begin) with which it begins or ends.

    One such id alone is a mark and stays: only two or more are padding. Where they begin a row and are BOS, one stays,
    for it is the row's own. Also the number of ids that were taken away.
    """
    kept, left_out = [], 0
    for row in ids:
        start, stop = _run(row, special), len(row) - _run(row[::-1], special)
        if start and int(row[0]) == bos_id:
            start -= 1
        row = row[start:stop] if start < stop else row[:0]
        left_out += ids.shape[1] - len(row)
        kept.append(row)
    return kept, left_out


def _run(row: Sequence[int] | np.ndarray, special: Collection[int]) -> int:
    """How many ids of the padding with which ``row`` begins; 0 where it is a single mark."""
    if not len(row) or int(row[0]) not in special:
        return 0
    differs = np.flatnonzero(np.asarray(row) != row[0])
    n = int(differs[0]) if len(differs) else len(row)
    return n if n > 1 else 0
