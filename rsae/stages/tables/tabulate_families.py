"""Independently trained teachers of one recipe, judged together: ``families.md`` and ``families.csv``."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from rsae.report.stats import cells
from rsae.report.tables import families
from rsae.runtime.files import replacing


def run(sums: Mapping[str, Mapping[str, Mapping[str, Path]]], out: Path, *, seed: int) -> None:
    """``sums`` maps a family to its teachers, and each to its two judgements.

    Raises:
        ValueError: two teachers of a family were judged on other documents.
    """
    pairs = {
        family: [
            cells.read_pair(family, teacher, files["reconstruction"], files["downstream"], seed)
            for teacher, files in members.items()
        ]
        for family, members in sums.items()
    }
    found = families.changes(pairs, ("teacher", "teacher_ft"))
    rows = [{**c._asdict(), "each": "; ".join(f"{t} {v:.6g}" for t, v in c.each.items())} for c in found]
    with replacing(out / "families.csv") as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False, float_format="%.9g")
    with replacing(out / "families.md") as temporary:
        temporary.write_text(families.table(found), encoding="utf-8")
