"""Reconstruction, sparsity and liveness, summed per document in float64."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rsae.sae import SAE
from rsae.shards import Block


class Sums(NamedTuple):
    """Sufficient statistics of one (SAE, support) per document; all arrays lead with n_doc."""

    n_tok: np.ndarray
    sse: np.ndarray  # sum over tokens of ‖x - x̂‖²
    sst: np.ndarray  # sum over tokens of ‖x - mean‖², the mean being that of the whole test set
    active: np.ndarray  # sum over tokens of the support's size
    fired: np.ndarray  # bool [n_doc, d_sae]: in the support at least once


def site_mean(blocks: Iterable[Block]) -> Tensor:
    """Mean activation, accumulated in float64; [d_in]."""
    total, n = 0.0, 0
    for block in blocks:
        total = total + block.x.astype(np.float64).sum(0)
        n += len(block.x)
    return torch.from_numpy(np.asarray(total / n))


@torch.no_grad()
def reconstruction_sums(
    sae: SAE, pieces: Iterable[tuple[np.ndarray, Tensor]], mean: Tensor, n_doc: int, hard: bool
) -> Sums:
    """``pieces`` are (document index per token, x in fp32); codes are hard or raw."""
    n_tok, sse, sst, active = (np.zeros(n_doc) for _ in range(4))
    fired = torch.zeros(n_doc, sae.d_sae, dtype=torch.bool)
    for document, x in pieces:
        z = sae.encode(x)
        z = sae.hard(z) if hard else z
        error = (x - sae.decode(z, x)).double().square().sum(1).numpy()
        spread = (x.double() - mean).square().sum(1).numpy()
        on = z != 0
        count = on.sum(1).double().numpy()
        for total, values in ((n_tok, np.ones(len(x))), (sse, error), (sst, spread), (active, count)):
            total += np.bincount(document, values, minlength=n_doc)
        # rows of a document stand together, so each is one slice
        for index, rows in _runs(document):
            fired[index] |= on[rows].any(0)
    return Sums(n_tok, sse, sst, active, fired.numpy())


def _runs(document: np.ndarray) -> Iterator[tuple[int, slice]]:
    edges = np.flatnonzero(np.diff(document)) + 1
    for start, stop in zip(np.r_[0, edges], np.r_[edges, len(document)], strict=True):
        yield int(document[start]), slice(int(start), int(stop))
