"""What sparse probes got right, per document, on disk: one row per (SAE, probe, document)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from rsae.evaluate.per_document import Cell
from rsae.runtime import parquet

KS = (1, 2, 5)  # features that a probe may read
DENSE = 0  # stands for k where it reads every number
DRAWS = 3  # balanced training sets per class, the same for all SAEs


class Score(NamedTuple):
    """Per test document, of one probe: examples, and those told right (a mean over training sets); [n_doc] each."""

    label: str
    positive: str
    k: int
    n_of: np.ndarray  # examples of the class,
    right_of: np.ndarray
    n_rest: np.ndarray  # of the others
    right_rest: np.ndarray


def write(path: Path, found: Mapping[Cell, Sequence[Score]]) -> None:
    """Documents that hold no example of a probe have no row of it.

    Raises:
        ValueError: there is no probe at all.
    """
    parts = []
    for cell, probes in found.items():
        for score in probes:
            document = np.flatnonzero(score.n_of + score.n_rest)
            fixed = {**cell._asdict(), "label": score.label, "positive": score.positive, "k": score.k}
            arrays: dict[str, object] = {name: [value] * len(document) for name, value in fixed.items()}
            arrays["document"] = document
            arrays |= {name: getattr(score, name)[document] for name in Score._fields[3:]}
            parts.append(pa.table(arrays))
    if not parts:
        raise ValueError("no label has two classes with enough examples: take more text, or probe for something else")
    parquet.write(path, pa.concat_tables(parts), {})


def read(path: Path, n_doc: int | None = None) -> dict[Cell, list[Score]]:
    """Inverse of :func:`write`, for ``n_doc`` documents; by itself, for those that hold an example or lie before one.

    Raises:
        ValueError: it was made from more documents than that.
    """
    frame = parquet.read(path)[0].to_pandas()
    last = int(frame["document"].max())
    n_doc = last + 1 if n_doc is None else n_doc
    if last >= n_doc:
        raise ValueError(f"{path} was made from other than the {n_doc} documents at hand; delete it and run again")
    found: dict[Cell, list[Score]] = {}
    for key, rows in frame.groupby([*Cell._fields, *Score._fields[:3]], sort=False):
        columns = []
        for name in Score._fields[3:]:
            column = np.zeros(n_doc)
            column[rows["document"]] = rows[name]
            columns.append(column)
        found.setdefault(Cell(*key[:3]), []).append(Score(*key[3:], *columns))  # type: ignore[misc]
    return found
