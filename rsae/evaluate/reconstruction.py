"""Reconstruction, sparsity and liveness, summed per document in float64."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rsae.data.activations.shards import Block
from rsae.sae.model import SAE


class Sums(NamedTuple):
    """Sufficient statistics of one (SAE, support) per document; all arrays lead with n_doc."""

    n_tok: np.ndarray
    sse: np.ndarray  # sum over tokens of ‖x - x̂‖²
    sst: np.ndarray  # sum over tokens of ‖x - mean‖², the mean being that of the whole test set
    active: np.ndarray  # sum over tokens of the support's size
    effective: np.ndarray  # sum over tokens of (sum_j s_j)² / sum_j s_j², s_j = |z_j| · ‖W_dec,j‖
    energy: np.ndarray  # sum of s_j² over tokens and features,
    leaked: np.ndarray  # ... outside the declared support alone,
    negative: np.ndarray  # ... of negative codes alone
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
    sae: SAE, pieces: Iterable[tuple[np.ndarray, Tensor]], mean: Tensor, n_doc: int
) -> dict[str, Sums]:
    """Sums of ``raw`` and ``hard`` codes; ``pieces`` are (document index per token, x in fp32).

    Where the SAE's eps is 0 both are the same codes, judged once.
    """
    supports = ("raw",) if sae.eps == 0 else ("raw", "hard")
    found = {support: _Running(n_doc, sae.d_sae) for support in supports}
    for document, x in pieces:
        raw = sae.encode(x)
        hard = sae.hard(raw)
        spread = (x.double() - mean.to(x.device)).square().sum(1)
        for support, running in found.items():
            z = raw if support == "raw" else hard
            on, strength = z != 0, sae.strength(z)
            squares = strength.square()
            energy = squares.sum(1)
            effective = strength.sum(1).square() / energy.clamp_min(torch.finfo(x.dtype).tiny)
            running.add(
                document,
                on,
                n_tok=torch.ones(len(x)),
                sse=(x - sae.decode(z, x)).double().square().sum(1),
                sst=spread,
                active=on.sum(1),
                effective=effective,
                energy=energy,
                # products, for a choice by torch.where takes three times as long
                leaked=(squares * (hard == 0)).sum(1),
                negative=(squares * (z < 0)).sum(1),
            )
    return {support: found.get(support, found["raw"]).sums() for support in ("raw", "hard")}


def columns(
    sae: SAE, pieces: Iterable[tuple[np.ndarray, Tensor]], mean: Tensor, n_doc: int
) -> dict[str, dict[str, np.ndarray]]:
    """:func:`reconstruction_sums` as the columns of a table, one row per document, by support."""
    widths = {"d_in": np.full(n_doc, sae.d_in), "d_sae": np.full(n_doc, sae.d_sae)}
    found = reconstruction_sums(sae, pieces, mean, n_doc)
    return {support: {**sums._asdict(), **widths} for support, sums in found.items()}


class _Running:
    """Per-document totals while the tokens pass by."""

    def __init__(self, n_doc: int, d_sae: int) -> None:
        self.totals = {name: np.zeros(n_doc) for name in Sums._fields if name != "fired"}
        self.fired = torch.zeros(n_doc, d_sae, dtype=torch.bool)

    def add(self, document: np.ndarray, on: Tensor, **per_token: Tensor) -> None:
        for name, values in per_token.items():
            total = self.totals[name]
            total += np.bincount(document, values.double().cpu().numpy(), minlength=len(total))
        # rows of a document stand together, so each is one slice
        for index, rows in _runs(document):
            self.fired[index] |= on[rows].any(0).cpu()

    def sums(self) -> Sums:
        return Sums(**self.totals, fired=self.fired.numpy())


def _runs(document: np.ndarray) -> Iterator[tuple[int, slice]]:
    edges = np.flatnonzero(np.diff(document)) + 1
    for start, stop in zip(np.r_[0, edges], np.r_[edges, len(document)], strict=True):
        yield int(document[start]), slice(int(start), int(stop))
