"""Independently trained teachers of one recipe, judged together: ``families.md`` and ``families.csv``."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from rsae.files import replacing
from rsae.report import cells, families


def run(
    sums: Mapping[tuple[str, str], Mapping[str, Path]],
    out: Path,
    *,
    seeds: Mapping[str, int],
    families_of: Mapping[str, Sequence[str]],
) -> None:
    """``families_of`` maps HOST/FAMILY to its teachers."""
    pairs = {
        (h, t): cells.read_pair(h, t, files["reconstruction"], files["downstream"], seeds[f"{h}/{t}"])
        for (h, t), files in sums.items()
    }
    grouped = {name: [pairs[name.split("/")[0], t] for t in members] for name, members in families_of.items()}
    found = families.changes(grouped, ("teacher", "teacher_ft"))
    rows = [{**c._asdict(), "each": "; ".join(f"{t} {v:.6g}" for t, v in c.each.items())} for c in found]
    with replacing(out / "families.csv") as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False, float_format="%.9g")
    with replacing(out / "families.md") as temporary:
        temporary.write_text(families.table(found))
