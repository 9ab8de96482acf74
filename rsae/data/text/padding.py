"""Token ids that somebody else padded: what is no text is taken away, for a host reads it as text."""

from collections.abc import Collection

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
    """Each row without the padding with which it begins or ends, and how many ids were taken away.

    An id of ``special`` (padding, end, begin) pads a side where some row has two or more of it there; single ones are
    then padding too. Where none has, a single one is a mark and stays. Where they begin a row and are BOS, one stays,
    for it is the row's own.
    """
    before, after = ({int(row[0]) for row in rows if _run(row, special) > 1} for rows in (ids, ids[:, ::-1]))
    kept, left_out = [], 0
    for row in ids:
        start, stop = _run(row, before), len(row) - _run(row[::-1], after)
        if start and int(row[0]) == bos_id:
            start -= 1
        row = row[start:stop] if start < stop else row[:0]
        left_out += ids.shape[1] - len(row)
        kept.append(row)
    return kept, left_out


def _run(row: Int[np.ndarray, " len"], wanted: Collection[int]) -> int:
    """How many times ``row`` begins with one and the same of the ``wanted`` ids."""
    if not len(row) or int(row[0]) not in wanted:
        return 0
    differs = np.flatnonzero(row != row[0])
    return int(differs[0]) if len(differs) else len(row)
