"""Delta CE, loss recovered and KL of every SAE of a pair, from one clean pass of the host."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from rsae.data.activations.host import Host
from rsae.data.activations.shards import Shards
from rsae.data.text import tokens
from rsae.evaluate import per_document
from rsae.evaluate.downstream import Downstream, ablations, downstream_sums, replacement
from rsae.evaluate.reconstruction import site_mean
from rsae.runtime.checkpoint import continued
from rsae.runtime.device import set_up_torch
from rsae.runtime.files import digest, sha256
from rsae.runtime.fingerprint import code_digest
from rsae.sae.model import load
from rsae.stages.made_from import digests


def run(
    token_file: Path,
    host: Path,
    calibration: Path,
    saes: Mapping[tuple[str, int], Path],
    out: Path,
    checkpoints: Path,
    *,
    hook: str,
    center_writing_weights: bool,
) -> None:
    """``saes`` maps (arm, seed) to a folder. The mean ablation takes its mean from ``calibration``.

    Killed, the same call continues from what it left in ``checkpoints``.
    """
    set_up_torch()
    source = tokens.read(token_file)
    n_doc = 1 + max(r.document for r in source.rows)
    constants = ablations(site_mean(Shards(calibration).blocks()))
    replacements = [replacement(arm, seed, load(folder)) for (arm, seed), folder in saes.items()]
    model = Host(host, hook, center_writing_weights)
    made_from = {
        "hook": hook,
        "center_writing_weights": center_writing_weights,
        "code": code_digest(__name__),
        "data": [sha256(token_file), sha256(calibration / "manifest.json"), *model.digests()],
        "saes": digests(saes),
    }
    with continued(checkpoints, digest(made_from)) as checkpoint:
        result = downstream_sums(model, source, n_doc, replacements, constants, checkpoint)
        _write(out, saes, result)


def _write(out: Path, saes: Iterable[tuple[str, int]], result: Downstream) -> None:
    tables: dict[per_document.Cell, dict[str, np.ndarray]] = {}
    for arm, seed in saes:
        for support in ("raw", "hard"):
            cell = per_document.Cell(arm, seed, support)
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
    per_document.write(out, tables)
