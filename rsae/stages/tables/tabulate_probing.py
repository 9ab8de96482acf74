"""Sparse probes of all pairs of a suite to ``probing.csv`` and ``probing.md``; by text where it is not the suite's."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from rsae.report.stats import cells
from rsae.report.tables import probing
from rsae.runtime.files import replacing


def run(
    sums: Mapping[tuple[str, str], Mapping[str, Path]],
    out: Path,
    *,
    suite: str,
    seeds: Mapping[str, int],
    name: str | None = None,
) -> None:
    """``probing.csv`` has the columns of ``cells.csv``; ``n_tok`` counts examples there.

    Of the labelled text ``name``, if there is one, to ``probing_{name}.*``.
    """
    kind = "" if name is None else f"_{name}"
    pairs = []
    for (h, t), files in sums.items():
        pair = cells.read_pair(h, t, files["reconstruction"], files["downstream"], seeds[f"{h}/{t}"])
        pairs.append((pair, probing.read(pair, files[f"probe{kind}"], name)))
    rows = [
        row
        for _, probed in pairs
        for cell, columns in probed.cells.items()
        for row in cells.rows(suite, probed._replace(cells={cell: columns}), probing.metrics(columns))
    ]
    with replacing(out / f"probing{kind}.csv") as temporary:
        pd.DataFrame(rows, columns=list(cells.COLUMNS)).to_csv(temporary, index=False, float_format="%.9g")
    with replacing(out / f"probing{kind}.md") as temporary:
        temporary.write_text(probing.table(pairs, name), encoding="utf-8")
