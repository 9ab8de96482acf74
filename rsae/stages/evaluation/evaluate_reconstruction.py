"""MSE, L0 and alive of every SAE of a pair, on the test documents."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rsae.data.activations.shards import Shards
from rsae.evaluate import per_document
from rsae.evaluate.reconstruction import columns, site_mean
from rsae.runtime.checkpoint import continued
from rsae.runtime.device import device, set_up_torch
from rsae.runtime.files import digest, sha256
from rsae.runtime.fingerprint import code_digest
from rsae.runtime.progress import progress
from rsae.sae.model import SAE, load
from rsae.stages.made_from import digests

PIECE = 512  # tokens; a dozen passes over codes [PIECE, d_sae], which should stay in cache


def run(test: Path, saes: Mapping[tuple[str, int], Path], out: Path, checkpoints: Path) -> None:
    """``saes`` maps (arm, seed) to the folder of an SAE; both supports of each are judged.

    Killed, the same call continues after the SAEs whose sums it left in ``checkpoints``.
    """
    set_up_torch()
    shards = Shards(test)
    mean = site_mean(shards.blocks())
    made_from = {
        "code": code_digest(__name__),
        "data": sha256(test / "manifest.json"),
        "saes": digests(saes),
    }
    with continued(checkpoints, digest(made_from)) as checkpoint:
        judged = (checkpoint.load() or {"judged": []})["judged"]
        if judged:
            print(f"reconstruction: continues after SAE {len(judged)} of {len(saes)}", flush=True)
        rest = [*saes.values()][len(judged) :]
        for folder in progress(rest, len(rest), "reconstruction"):
            judged.append(_judged(load(folder), folder, shards, mean))
            if checkpoint.due:
                checkpoint.save({"judged": judged})
                checkpoint.leave()
        tables = {
            per_document.Cell(arm, seed, support): {name: column.numpy() for name, column in columns.items()}
            for (arm, seed), by_support in zip(saes, judged, strict=True)
            for support, columns in by_support.items()
        }
        per_document.write(out, tables)


def _judged(sae: SAE, folder: Path, shards: Shards, mean: Tensor) -> dict[str, dict[str, Tensor]]:
    """Sums of each kind of codes."""
    if sae.d_in != shards.d_in:
        raise ValueError(f"{folder} has d_in={sae.d_in}, the test activations {shards.d_in}; wrong hook?")
    found = columns(sae, _pieces(shards), mean, len(shards.documents))
    return {support: {name: torch.from_numpy(c) for name, c in sums.items()} for support, sums in found.items()}


def _pieces(shards: Shards) -> Iterator[tuple[np.ndarray, Tensor]]:
    for block in shards.blocks():
        for i in range(0, len(block.x), PIECE):
            part = slice(i, i + PIECE)
            yield block.document[part], torch.from_numpy(block.x[part].astype(np.float32)).to(device())
