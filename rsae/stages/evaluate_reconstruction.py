"""MSE, L0 and alive of every SAE of a pair, on the test documents."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rsae.device import device
from rsae.evaluate import sums
from rsae.evaluate.reconstruction import reconstruction_sums, site_mean
from rsae.progress import progress
from rsae.shards import Shards
from rsae.stages.common import load, set_up_torch

PIECE = 512  # tokens; a dozen passes over codes [PIECE, d_sae], which should stay in cache


def run(test: Path, saes: Mapping[tuple[str, int], Path], out: Path) -> None:
    """``saes`` maps (arm, seed) to the folder of an SAE; both supports of each are judged."""
    set_up_torch()
    shards = Shards(test)
    mean = site_mean(shards.blocks())
    tables: dict[sums.Cell, dict[str, np.ndarray]] = {}
    for (arm, seed), folder in progress(saes.items(), len(saes), "reconstruction"):
        sae = load(folder)
        if sae.d_in != shards.d_in:
            raise ValueError(f"{folder} has d_in={sae.d_in}, the test activations {shards.d_in}; wrong hook?")
        n_doc = len(shards.documents)
        widths = {"d_in": np.full(n_doc, sae.d_in), "d_sae": np.full(n_doc, sae.d_sae)}
        for support, result in reconstruction_sums(sae, _pieces(shards), mean, n_doc).items():
            tables[sums.Cell(arm, seed, support)] = result._asdict() | widths
    sums.write(out, tables)


def _pieces(shards: Shards) -> Iterator[tuple[np.ndarray, Tensor]]:
    for block in shards.blocks():
        for i in range(0, len(block.x), PIECE):
            part = slice(i, i + PIECE)
            yield block.document[part], torch.from_numpy(block.x[part].astype(np.float32)).to(device())
