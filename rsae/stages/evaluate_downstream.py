"""Delta CE, loss recovered and KL of every SAE of a pair, from one clean pass of the host."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rsae import tokens
from rsae.evaluate import sums
from rsae.evaluate.downstream import ablations, downstream_sums, replacement
from rsae.evaluate.reconstruction import site_mean
from rsae.hosts import Host
from rsae.shards import Shards
from rsae.stages.common import load, set_up_torch


def run(
    token_file: Path,
    host: Path,
    calibration: Path,
    saes: Mapping[tuple[str, int], Path],
    out: Path,
    *,
    hook: str,
    center_writing_weights: bool,
) -> None:
    """``saes`` maps (arm, seed) to a folder. The mean ablation takes its mean from ``calibration``."""
    set_up_torch()
    source = tokens.read(token_file)
    n_doc = 1 + max(r.document for r in source.rows)
    constants = ablations(site_mean(Shards(calibration).blocks()))
    replacements = [replacement(arm, seed, load(folder)) for (arm, seed), folder in saes.items()]
    result = downstream_sums(Host(host, hook, center_writing_weights), source, n_doc, replacements, constants)
    tables: dict[sums.Cell, dict[str, np.ndarray]] = {}
    for arm, seed in saes:
        for support in ("raw", "hard"):
            cell = sums.Cell(arm, seed, support)
            # gates with exact zeros have one kind of codes, judged once
            spliced = result.spliced.get(cell) or result.spliced[cell._replace(support="raw")]
            tables[cell] = {
                "n_pred": result.n_pred,
                "ce_clean": result.ce_clean,
                "ce_zero": result.ce_ablated["zero"],
                "ce_mean": result.ce_ablated["mean"],
                "ce_spliced": spliced.ce,
                "kl": spliced.kl,
            }
    sums.write(out, tables)
