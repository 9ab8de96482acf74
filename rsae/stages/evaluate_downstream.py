"""Delta CE, loss recovered and KL of every SAE of a pair, from one clean pass of the host."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from rsae import tokens
from rsae.evaluate import sums
from rsae.evaluate.downstream import Replace, ablations, downstream_sums
from rsae.evaluate.reconstruction import site_mean
from rsae.hosts import Host
from rsae.sae import SAE
from rsae.shards import Shards


def run(
    token_file: Path,
    host: Path,
    calibration: Path,
    saes: Mapping[tuple[str, int], Path],
    out: Path,
    *,
    hook: str,
) -> None:
    """``saes`` maps (arm, seed) to a folder. The mean ablation takes its mean from ``calibration``."""
    torch.set_num_threads(1)
    source = tokens.read(token_file)
    n_doc = 1 + max(r.document for r in source.rows)
    cells: list[sums.Cell] = []
    replacements: list[Replace] = [*ablations(site_mean(Shards(calibration).blocks()))]
    exact: list[sums.Cell] = []
    for (arm, seed), folder in saes.items():
        sae = SAE.load(folder)
        cells.append(sums.Cell(arm, seed, "raw"))
        replacements.append(lambda x, sae=sae: sae.decode(sae.encode(x)))
        if sae.eps == 0:
            exact.append(cells[-1])
        else:
            cells.append(sums.Cell(arm, seed, "hard"))
            replacements.append(lambda x, sae=sae: sae.decode(sae.hard(sae.encode(x))))
    result = downstream_sums(Host(host, hook), source, n_doc, replacements)
    zero, mean, *others = result.spliced
    tables: dict[sums.Cell, dict[str, np.ndarray]] = {}
    for cell, spliced in zip(cells, others, strict=True):
        tables[cell] = {
            "n_pred": result.n_pred,
            "ce_clean": result.ce_clean,
            "ce_zero": zero.ce,
            "ce_mean": mean.ce,
            "ce_spliced": spliced.ce,
            "kl": spliced.kl,
        }
    for cell in exact:  # gates with exact zeros: raw and hard codes are the same
        tables[cell._replace(support="hard")] = tables[cell]
    sums.write(out, tables)
