"""The support rule in full: L0 against eps, density, decoder drift, refined against original codes."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from rsae.data.activations.batches import chunks
from rsae.data.activations.shards import Shards
from rsae.evaluate.anatomy import EPS, Anatomy, anatomy
from rsae.runtime import parquet
from rsae.runtime.device import set_up_torch
from rsae.runtime.progress import progress
from rsae.sae.model import SAE

QUANTILES = (0.05, 0.5, 0.95)
DENSE = 0.1  # share of tokens from which on a feature counts as dense


def run(test: Path, saes: Mapping[tuple[str, int], Path], out: Path) -> None:
    """One row per number: arm, seed, quantity, where it was taken (eps or quantile), value."""
    set_up_torch()
    shards = Shards(test)
    teacher = SAE.load(saes["teacher", 0])
    rows = []
    for (arm, seed), folder in progress(saes.items(), len(saes), "anatomy"):
        found = anatomy(SAE.load(folder), teacher, (x.cpu() for x in chunks(shards)))
        rows += [(arm, seed, *row) for row in numbers(found)]
    columns = zip(*rows, strict=True)
    parquet.write(out, pa.table(dict(zip(("arm", "seed", "quantity", "at", "value"), columns, strict=True))), {})


def numbers(found: Anatomy) -> list[tuple[str, float, float]]:
    """(quantity, at, value); what is not known of an SAE is left out."""
    rows = [("l0_by_eps", float(eps), float(v)) for eps, v in zip(EPS, found.l0_by_eps, strict=True)]
    alive = found.density[found.density > 0]
    rows += [("dead", 0.0, float((found.density == 0).mean())), ("dense", DENSE, float((found.density > DENSE).mean()))]
    parts = {"density": alive, "norm_ratio": found.norm_ratio, "cosine": found.cosine}
    parts["correlation"] = found.correlation[np.isfinite(found.correlation)]
    for name, values in parts.items():
        rows += [(name, q, float(np.quantile(values, q))) for q in QUANTILES if len(values)]
    return rows + ([("clipped", 0.0, found.clipped)] if np.isfinite(found.clipped) else [])
