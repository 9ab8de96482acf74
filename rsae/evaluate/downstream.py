"""What the host loses when its residual stream passes through an SAE."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rsae.hosts import Host
from rsae.progress import progress
from rsae.tokens import Row, TokenRows, batches

BATCH = 32  # rows of the host's context
Replace = Callable[[Tensor], Tensor]  # activations [n_tok, d_in] to activations


class Spliced(NamedTuple):
    """Per-document sums for one way of replacing the site; float64 [n_doc]."""

    ce: np.ndarray  # nats
    kl: np.ndarray  # KL(clean || spliced), nats


class Downstream(NamedTuple):
    """One clean pass and every spliced one, over the same predictions."""

    n_pred: np.ndarray  # predictions per document
    ce_clean: np.ndarray
    spliced: list[Spliced]


def downstream_sums(host: Host, tokens: TokenRows, n_doc: int, replacements: Sequence[Replace]) -> Downstream:
    """Run the host clean and once per replacement.

    Replaced are the positions that hold text; counted are the predictions made at them (the last
    position of a row predicts nothing, BOS keeps its activation and is not counted).
    """
    n_pred, clean = np.zeros(n_doc), np.zeros(n_doc)
    results = [Spliced(np.zeros(n_doc), np.zeros(n_doc)) for _ in replacements]
    total = -(-len(tokens.rows) // BATCH)
    for rows, ids in progress(batches(tokens, BATCH), total, "downstream"):
        x = torch.from_numpy(ids)
        text, counted, document = _masks(rows, x.shape, tokens.bos)
        targets = x.roll(-1, 1)  # of the last position too, which is never counted

        def add(total: np.ndarray, values: Tensor, where: Tensor = counted, to: np.ndarray = document) -> None:
            total += np.bincount(to, values[where].double().numpy(), minlength=n_doc)

        logits = host.logits(x)
        normaliser = logits.logsumexp(-1)
        add(n_pred, torch.ones(x.shape))
        add(clean, normaliser - _at(logits, targets))
        p = (logits - normaliser.unsqueeze(-1)).exp()
        # KL(p || q) = sum p log p - sum p log q, with log q = logits - normaliser
        negative_entropy = _dot(p, logits) - normaliser
        for replace, result in zip(replacements, results, strict=True):
            other = host.logits(x, _splice(replace, text))
            other_normaliser = other.logsumexp(-1)
            add(result.ce, other_normaliser - _at(other, targets))
            add(result.kl, negative_entropy - _dot(p, other) + other_normaliser)
    return Downstream(n_pred, clean, results)


def _at(logits: Tensor, targets: Tensor) -> Tensor:
    return logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Sum over the vocabulary of a · b, without a product tensor; [b, len]."""
    return torch.linalg.vecdot(a, b)


def _masks(rows: list[Row], shape: torch.Size, bos: bool) -> tuple[Tensor, Tensor, np.ndarray]:
    text = torch.zeros(shape, dtype=torch.bool)
    for i, row in enumerate(rows):
        text[i, int(bos) : len(row.ids)] = True
    counted = text.clone()
    for i, row in enumerate(rows):
        counted[i, len(row.ids) - 1] = False
    document = np.repeat([r.document for r in rows], counted.sum(1).numpy())
    return text, counted, document


def _splice(replace: Replace, text: Tensor) -> Replace:
    def at_text(resid: Tensor) -> Tensor:
        out = resid.clone()
        out[text] = replace(resid[text])
        return out

    return at_text


def ablations(mean: Tensor) -> Iterator[Replace]:
    """The two references: the site set to zero, and to its mean [d_in]."""
    yield torch.zeros_like
    yield lambda x: mean.to(x.dtype).expand_as(x)
