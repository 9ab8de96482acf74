"""Sparse probes of all pairs of a suite to ``probing.csv`` and ``probing.md``."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from rsae.files import replacing
from rsae.report import cells, probing


def run(sums: Mapping[tuple[str, str], Mapping[str, Path]], out: Path, *, suite: str, seeds: Mapping[str, int]) -> None:
    """``probing.csv`` has the columns of ``cells.csv``; ``n_tok`` counts examples there."""
    pairs = []
    for (h, t), files in sums.items():
        pair = cells.read_pair(h, t, files["reconstruction"], files["downstream"], seeds[f"{h}/{t}"])
        pairs.append((pair, probing.read(pair, files["probe"])))
    rows = [
        row
        for _, probed in pairs
        for cell, columns in probed.cells.items()
        for row in cells.rows(suite, probed._replace(cells={cell: columns}), probing.metrics(columns))
    ]
    with replacing(out / "probing.csv") as temporary:
        pd.DataFrame(rows, columns=list(cells.COLUMNS)).to_csv(temporary, index=False, float_format="%.9g")
    with replacing(out / "probing.md") as temporary:
        temporary.write_text(probing.table(pairs))
