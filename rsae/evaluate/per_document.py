"""Per-document sums on disk: one Parquet file per pair and judgement, one row per document."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from rsae.runtime import parquet


class Cell(NamedTuple):
    """Who was judged, and on which codes."""

    arm: str
    seed: int
    support: str  # raw or hard


def write(path: Path, tables: Mapping[Cell, Mapping[str, np.ndarray]]) -> None:
    """Columns lead with n_doc; boolean matrices are packed to bytes, row by row.

    Raises:
        ValueError: a sum is not finite; nothing is written.
    """
    parts = []
    for cell, columns in tables.items():
        n_doc = len(next(iter(columns.values())))
        arrays: dict[str, object] = {k: [v] * n_doc for k, v in cell._asdict().items()}
        arrays["document"] = np.arange(n_doc)
        for name, values in columns.items():
            if not np.isfinite(values).all():
                document = int(np.argmin(np.isfinite(values)))
                raise ValueError(
                    f"{name} of {cell.arm}, seed {cell.seed}, {cell.support} codes is not finite on document"
                    f" {document}: the SAE overflows there; nothing is judged. Fine-tune it at a lower rate, or leave"
                    " the arm out"
                )
            packed = [np.packbits(row).tobytes() for row in values] if values.ndim == 2 else values
            arrays[name] = packed
        parts.append(pa.table(arrays))
    parquet.write(path, pa.concat_tables(parts), {})


def read(path: Path) -> dict[Cell, dict[str, np.ndarray]]:
    """Inverse of :func:`write`; packed matrices come back as uint8 [n_doc, bits]."""
    frame = parquet.read(path)[0].to_pandas()
    result = {}
    for key, group in frame.groupby(["arm", "seed", "support"], sort=False):
        columns = {}
        for name in group.columns.drop(["arm", "seed", "support", "document"]):
            values = group[name].to_numpy()
            if isinstance(values[0], bytes):
                values = np.stack([np.unpackbits(np.frombuffer(v, np.uint8)) for v in values])
            columns[str(name)] = values
        result[Cell(*key)] = columns  # type: ignore[misc]
    return result
