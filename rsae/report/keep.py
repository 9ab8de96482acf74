"""A suite's numbers, small enough to be committed: what claims about it can be traced to."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from rsae.files import write_json


def keep(tables: Path, card: Path, trials: Mapping[str, Path], out: Path) -> None:
    """Every long table of ``tables`` as Parquet (zstd), the run card, and the trials by which arms were tuned.

    ``trials`` maps HOST/TEACHER/ARM to a tuning record. Files of an earlier run in ``out`` go.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for path in sorted(tables.glob("*.csv")):
        pd.read_csv(path).to_parquet(out / f"{path.stem}.parquet", compression="zstd", index=False)
    shutil.copyfile(card, out / card.name)
    if trials:
        write_json(out / "tuning.json", {name: json.loads(path.read_text()) for name, path in trials.items()})
