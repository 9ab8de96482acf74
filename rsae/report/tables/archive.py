"""A suite's numbers, small enough to be committed: what claims about it can be traced to."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from rsae.runtime.files import replacing, write_json


def write(tables: Sequence[Path], card: Path, trials: Mapping[str, Path], out: Path) -> None:
    """Long ``tables`` (CSV) as Parquet (zstd), the run card, and the trials by which arms were tuned.

    ``trials`` maps HOST/TEACHER/ARM to a tuning record. What an earlier run left in ``out`` is replaced as a whole.
    """
    with replacing(out) as temporary:
        temporary.mkdir()
        for path in tables:
            pd.read_csv(path).to_parquet(temporary / f"{path.stem}.parquet", compression="zstd", index=False)
        shutil.copyfile(card, temporary / card.name)
        if trials:
            write_json(
                temporary / "tuning.json",
                {name: json.loads(p.read_text(encoding="utf-8")) for name, p in trials.items()},
            )
