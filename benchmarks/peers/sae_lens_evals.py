"""The same SAEs by this harness and by sae_lens.evals: ``python -m benchmarks.peers.sae_lens_evals``.

Writes docs/results/peers.md. What is defined alike must agree (tests/evaluate/test_against_sae_lens.py holds it to
that); where the two differ, the page says why.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from sae_lens import SAE as SaeLensSAE
from sae_lens.evals import get_downstream_reconstruction_metrics, get_sparsity_and_variance_metrics
from sae_lens.training.activation_scaler import ActivationScaler
from tabulate import tabulate
from torch import Tensor

import rsae.saelens
from rsae.data.activations.host import Host
from rsae.data.text.tokenizer import load_tokenizer
from rsae.data.text.tokens import Row, TokenRows
from rsae.evaluate.downstream import Replacement, ablations, downstream_sums
from rsae.evaluate.reconstruction import reconstruction_sums
from rsae.rational.record import fitted
from rsae.sae import loading
from rsae.sae.model import SAE
from rsae.sae.support import mean_l0, settle
from rsae.training.start.rational_copy import rational_copy
from rsae.training.start.refined import with_rho

PAGE = Path(__file__).resolve().parents[2] / "docs/results/peers.md"
HOST, HOOK, TEACHERS, BOS = "assets/embedded/host", "blocks.1.hook_resid_post", "assets/embedded/teachers", 0
ROWS, CTX = 32, 128
WHY = {
    "mse": "the same",
    "l0": "the same, on hard codes; one within rounding of eps may fall on either side of the cut",
    "explained_variance": "the same: pooled and centred",
    "explained_variance_legacy": "sae_lens's older figure, the mean over tokens of one share each; not measured here",
    "ce_loss_without_sae": "the same",
    "ce_loss_with_sae": "the same: BOS keeps its activation in both",
    "delta_ce": "the same",
    "ce_loss_with_ablation": "sae_lens sets BOS to zero too, though its splice leaves it alone; here BOS stays in both",
    "ce_loss_score": "follows from it: loss recovered",
    "kl_div_with_sae": "sae_lens averages over every position of text; here over those whose next token is known",
}


INTRODUCTION = """\
# The same SAE, measured twice

One run of `python -m benchmarks.peers.sae_lens_evals`: SAEs on the embedded host by this harness and by
`sae_lens.evals`, on the same {n_tok} tokens of text ({rows} rows of {ctx}, BOS first) of numpy's docstrings. Upgraded
SAEs reach sae_lens through `rsae.saelens`, on hard codes. Units: activation² per token, features per token, nats per
token, shares. `tests/evaluate/test_against_sae_lens.py` holds what is defined alike to agree within 1e-5 (mse: in
relative terms).

"""


class Store:
    """Hands out one batch of tokens, again and again."""

    def __init__(self, ids: Tensor) -> None:
        self.ids = ids

    def get_batch_tokens(self, n: int) -> Tensor:
        """All of them."""
        assert n == len(self.ids)
        return self.ids


def judged(sae: SAE, peer: Any, ids: Tensor, bos: bool, host: Host) -> tuple[dict[str, float], dict[str, float]]:
    """(here, by sae_lens) on whole rows ``ids`` [n_row, len]; hard codes, which are what ``peer`` gives."""
    rows = TokenRows([Row(i, str(i), row.numpy().astype(np.int32)) for i, row in enumerate(ids)], bos)
    splice = Replacement(["sae"], lambda x: [sae.decode(sae.hard(sae.encode(x)), x)])
    down = downstream_sums(host, rows, len(ids), [splice], ablations(torch.zeros(sae.d_in)))
    x = host.capture(ids)[:, int(bos) :].reshape(-1, sae.d_in)
    document = np.repeat(np.arange(len(ids)), ids.shape[1] - bos)
    rec = reconstruction_sums(sae, [(document, x)], x.double().mean(0), len(ids))["hard"]
    n = down.n_pred.sum()
    clean, spliced, zeroed = (s.sum() / n for s in (down.ce_clean, down.spliced["sae"].ce, down.ce_ablated["zero"]))
    mine = {
        "mse": rec.sse.sum() / rec.n_tok.sum(),
        "l0": rec.active.sum() / rec.n_tok.sum(),
        "explained_variance": 1 - rec.sse.sum() / rec.sst.sum(),
        "ce_loss_without_sae": clean,
        "ce_loss_with_sae": spliced,
        "ce_loss_with_ablation": zeroed,
        "delta_ce": spliced - clean,
        "ce_loss_score": (zeroed - spliced) / (zeroed - clean),
        "kl_div_with_sae": down.spliced["sae"].kl.sum() / n,
    }
    store: Any = Store(ids)
    common: Any = {
        "n_batches": 1,
        "eval_batch_size_prompts": len(ids),
        "ignore_tokens": [BOS] if bos else None,
        "model_kwargs": {},
    }
    scaler = ActivationScaler()
    found = get_downstream_reconstruction_metrics(
        peer, host.bridge, store, scaler, compute_kl=True, compute_ce_loss=True, **common
    )
    found |= get_sparsity_and_variance_metrics(
        peer, host.bridge, store, scaler, compute_l2_norms=False, compute_sparsity_metrics=True,
        compute_variance_metrics=True, compute_featurewise_density_statistics=False, **common,
    )[0]  # fmt: skip
    return mine, found | {"delta_ce": found["ce_loss_with_sae"] - found["ce_loss_without_sae"]}


def contestants(x: Tensor) -> dict[str, tuple[SAE, Any]]:
    """Teachers as sae_lens loads them, and two upgrades of them as sae_lens gets them."""
    loaded = {kind: loading.load(f"{TEACHERS}/{kind}", kind, 128) for kind in ("relu", "topk")}
    rational, _ = rational_copy(loaded["relu"], [x], fitted(target="relu", degree=(9, 8)), False, False)
    settle(rational, [x], mean_l0(loaded["relu"], [x]))
    upgraded = {"relu, rational gate (9, 8)": rational, "topk, resolvent": with_rho(loaded["topk"], 0.1)}
    found = {kind: (sae, SaeLensSAE.load_from_disk(f"{TEACHERS}/{kind}")) for kind, sae in loaded.items()}
    return found | {name: (sae, rsae.saelens.convert(sae, {"hook_name": HOOK})) for name, sae in upgraded.items()}


def token_rows() -> Tensor:
    """Docstrings of numpy, BOS first; [ROWS, CTX]."""
    found = (getattr(np, name).__doc__ for name in sorted(np.__all__))
    text = "\n\n".join(doc for doc in found if isinstance(doc, str))
    ids = load_tokenizer(HOST)(text, add_special_tokens=False)["input_ids"][: ROWS * (CTX - 1)]
    rows = torch.tensor(ids).reshape(ROWS, CTX - 1)
    return torch.cat([torch.full((ROWS, 1), BOS), rows], 1)


def main() -> None:
    """One run, one page."""
    torch.set_num_threads(1)
    ids = token_rows()
    x = Host(HOST, HOOK).capture(ids)[:, 1:].reshape(-1, 128)
    tables = []
    for name, (sae, peer) in contestants(x).items():
        # a host of its own: sae_lens skips hooks by legacy names, silently, where an SAE was attached before
        mine, theirs = judged(sae, peer, ids, True, Host(HOST, HOOK))
        rows = []
        for metric, why in WHY.items():
            here, there = mine.get(metric), float(theirs[metric])
            gap = "" if here is None else f"{here - there:+.1e}"
            rows.append([metric, "" if here is None else f"{here:.6f}", f"{there:.6f}", gap, why])
        header = ["figure, in sae_lens's words", "here", "sae_lens", "difference", "why"]
        tables.append(f"## {name}\n\n" + tabulate(rows, header, tablefmt="github", disable_numparse=True))
    PAGE.write_text(INTRODUCTION.format(n_tok=ROWS * (CTX - 1), rows=ROWS, ctx=CTX) + "\n\n".join(tables) + "\n")
    print(PAGE.read_text())


if __name__ == "__main__":
    main()
