"""What the host loses when its residual stream passes through an SAE."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rsae.data.activations.host import Host
from rsae.data.text.tokens import Row, TokenRows, batches
from rsae.evaluate.per_document import Cell
from rsae.runtime.checkpoint import Checkpoint
from rsae.runtime.progress import progress
from rsae.sae.model import SAE

BATCH = 32  # rows of the host's context
LOGITS = 1 << 28  # numbers in one batch's logits, at most: 1 GiB, of which a few are alive at a time


class Replacement(NamedTuple):
    """Ways of replacing the site that share work, such as the raw and the hard codes of one SAE."""

    names: Sequence[Hashable]
    run: Callable[[Tensor], Sequence[Tensor]]  # activations [n_tok, d_in] to one x_hat per name


class Spliced(NamedTuple):
    """Per-document sums for one way of replacing the site; float64 [n_doc]."""

    ce: np.ndarray  # nats
    kl: np.ndarray  # KL(clean || spliced), nats


class Downstream(NamedTuple):
    """One clean pass and every spliced one, over the same predictions."""

    n_pred: np.ndarray  # predictions per document
    ce_clean: np.ndarray
    spliced: dict[Hashable, Spliced]
    ce_ablated: dict[Hashable, np.ndarray]  # by the name of the constant


def downstream_sums(
    host: Host,
    tokens: TokenRows,
    n_doc: int,
    replacements: Sequence[Replacement],
    constants: Mapping[Hashable, Tensor] | None = None,
    checkpoint: Checkpoint | None = None,
) -> Downstream:
    """Run the host clean once, and from the hook on once per replacement.

    Replaced are the positions that hold text; counted are the predictions made at them (the last
    position of a row predicts nothing, BOS keeps its activation and is not counted). ``constants`` [d_in] replace
    the site by the same activation everywhere: what the host then predicts depends on the position alone.
    With a ``checkpoint`` the sums go on from where they were interrupted, and end the same.
    """
    log_p = {name: _ablated(host, tokens, value) for name, value in (constants or {}).items()}
    ce_ablated: dict[Hashable, np.ndarray] = {name: np.zeros(n_doc) for name in log_p}
    n_pred, ce_clean = np.zeros(n_doc), np.zeros(n_doc)
    results: dict[Hashable, Spliced] = {
        name: Spliced(np.zeros(n_doc), np.zeros(n_doc)) for r in replacements for name in r.names
    }
    batch = max(1, min(BATCH, LOGITS // (host.vocab * max(len(r.ids) for r in tokens.rows))))
    totals = [n_pred, ce_clean, *ce_ablated.values(), *(part for spliced in results.values() for part in spliced)]
    done = 0  # batches
    if checkpoint and (state := checkpoint.load()):
        done = int(state["done"])
        for values, kept in zip(totals, state["totals"].numpy(), strict=True):
            values[:] = kept
        print(f"downstream: continues after batch {done}", flush=True)
    rest = tokens._replace(rows=tokens.rows[done * batch :])
    for rows, ids in progress(batches(rest, batch), -(-len(rest.rows) // batch), "downstream"):
        x = torch.from_numpy(ids).to(host.device)
        text, counted, document = _masks(rows, x.shape, tokens.bos)
        targets = x.roll(-1, 1)  # of the last position too, which is never counted

        def add(total: np.ndarray, values: Tensor, where: Tensor = counted, to: np.ndarray = document) -> None:
            total += np.bincount(to, values[where].double().cpu().numpy(), minlength=n_doc)

        clean = host.clean(x)
        normaliser = clean.logits.logsumexp(-1)
        add(n_pred, torch.ones(x.shape))
        add(ce_clean, normaliser - _at(clean.logits, targets))
        for name, ablated in log_p.items():
            add(ce_ablated[name], -_at(ablated[: x.shape[1]].expand(len(x), -1, -1), targets))
        p = (clean.logits - normaliser.unsqueeze(-1)).exp()
        # KL(p || q) = sum p log p - sum p log q, with log q = logits - normaliser
        negative_entropy = _dot(p, clean.logits) - normaliser
        activations = clean.resid[text]
        for replacement in replacements:
            for name, x_hat in zip(replacement.names, replacement.run(activations), strict=True):
                resid = clean.resid.clone()
                resid[text] = x_hat
                other = host.resume(clean, resid)
                other_normaliser = other.logsumexp(-1)
                add(results[name].ce, other_normaliser - _at(other, targets))
                add(results[name].kl, negative_entropy - _dot(p, other) + other_normaliser)
        done += 1
        if checkpoint and checkpoint.due:
            checkpoint.save({"done": done, "totals": torch.from_numpy(np.stack(totals))})
            checkpoint.leave()
    if not n_pred.any():
        raise ValueError(
            "no row holds two tokens of text, so nothing is predicted; take longer documents or a larger `ctx`"
        )
    return Downstream(n_pred, ce_clean, results, ce_ablated)


def columns(result: Downstream, saes: Iterable[tuple[str, int]]) -> dict[Cell, dict[str, np.ndarray]]:
    """Of every (arm, seed) and support, as the columns of a table, one row per document."""
    tables = {}
    for arm, seed in saes:
        for support in ("raw", "hard"):
            cell = Cell(arm, seed, support)
            # gates with exact zeros have one kind of codes, judged once
            spliced = result.spliced.get(cell) or result.spliced[cell._replace(support="raw")]
            tables[cell] = {
                "n_pred": result.n_pred,
                "ce_clean": result.ce_clean,
                **{f"ce_{name}": value for name, value in result.ce_ablated.items()},
                "ce_spliced": spliced.ce,
                "kl": spliced.kl,
            }
    return tables


def _ablated(host: Host, tokens: TokenRows, value: Tensor) -> Tensor:
    """Log-probabilities at every position of the longest row; [len, vocab]."""
    clean = host.clean(torch.from_numpy(max((row.ids for row in tokens.rows), key=len).astype(np.int64))[None])
    resid = clean.resid.clone()
    resid[:, int(tokens.bos) :] = value.to(resid)
    return host.resume(clean, resid)[0].log_softmax(-1)


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


def ablations(mean: Tensor) -> dict[Hashable, Tensor]:
    """The two references: the site set to ``zero``, and to its ``mean`` [d_in]."""
    return {"zero": torch.zeros_like(mean), "mean": mean}


def replacement(arm: str, seed: int, sae: SAE) -> Replacement:
    """The site through ``sae``: raw codes and, where eps makes them others, hard ones; named by their cells."""
    raw, hard = (Cell(arm, seed, support) for support in ("raw", "hard"))
    if sae.eps == 0:
        return Replacement([raw], lambda x: [sae.decode(sae.encode(x), x)])

    def both(x: Tensor) -> Sequence[Tensor]:
        z = sae.encode(x)
        return [sae.decode(z, x), sae.decode(sae.hard(z), x)]

    return Replacement([raw, hard], both)
