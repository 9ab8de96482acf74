"""Our numbers against sae_lens's own evals on the same tokens; and where the two define differently."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from sae_lens import SAE as SaeLensSAE
from sae_lens.evals import get_downstream_reconstruction_metrics, get_sparsity_and_variance_metrics
from sae_lens.training.activation_scaler import ActivationScaler

from rsae import teachers
from rsae.evaluate.downstream import Replacement, ablations, downstream_sums
from rsae.evaluate.reconstruction import reconstruction_sums
from rsae.hosts import Host
from rsae.tokens import Row, TokenRows
from tests.bridges import as_bridge

HOOK, EMBEDDED, CTX, BOS = "blocks.1.hook_resid_post", "assets/embedded", 48, 0


class Store:
    """Hands out one batch of tokens, again and again."""

    def __init__(self, ids):
        self.ids = ids

    def get_batch_tokens(self, n):
        assert n == len(self.ids)
        return self.ids


def judged(kind, bos):
    """(ours, theirs) for an embedded teacher on eight whole rows."""
    ids = torch.randint(1, 2048, (8, CTX), generator=torch.Generator().manual_seed(0))
    if bos:
        ids[:, 0] = BOS
    host, path = Host(f"{EMBEDDED}/host", HOOK), f"{EMBEDDED}/teachers/{kind}"
    ours, theirs = teachers.load(path, kind, 128), SaeLensSAE.load_from_disk(path)
    rows = TokenRows([Row(i, str(i), row.numpy().astype(np.int32)) for i, row in enumerate(ids)], bos)
    splice = Replacement(["sae"], lambda x: [ours.decode(ours.encode(x), x)])
    down = downstream_sums(host, rows, 8, [splice], ablations(torch.zeros(128)))
    x = host.capture(ids)[:, int(bos) :].reshape(-1, 128)
    rec = reconstruction_sums(ours, [(np.repeat(np.arange(8), CTX - bos), x)], x.double().mean(0), 8)["raw"]
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
        "eval_batch_size_prompts": 8,
        "ignore_tokens": [BOS] if bos else None,
        "model_kwargs": {},
    }
    scaler, bridge = ActivationScaler(), as_bridge(f"{EMBEDDED}/host")
    found = get_downstream_reconstruction_metrics(
        theirs, bridge, store, scaler, compute_kl=True, compute_ce_loss=True, **common
    )
    found |= get_sparsity_and_variance_metrics(
        theirs, bridge, store, scaler, compute_l2_norms=False, compute_sparsity_metrics=True,
        compute_variance_metrics=True, compute_featurewise_density_statistics=False, **common,
    )[0]  # fmt: skip
    return mine, found | {"delta_ce": found["ce_loss_with_sae"] - found["ce_loss_without_sae"]}


SAME = ("l0", "explained_variance", "ce_loss_without_sae", "ce_loss_with_sae", "delta_ce")


@pytest.mark.parametrize("kind", ["relu", "jumprelu", "topk"])
@pytest.mark.parametrize("bos", [False, True])
def test_what_is_defined_alike_agrees(kind, bos):
    mine, theirs = judged(kind, bos)
    for name in SAME:
        assert mine[name] == pytest.approx(theirs[name], abs=1e-5), name
    # a squared norm of about 1e3: its fp32 sums differ in relative terms
    assert mine["mse"] == pytest.approx(theirs["mse"], rel=1e-5)
    if not bos:
        assert mine["ce_loss_with_ablation"] == pytest.approx(theirs["ce_loss_with_ablation"], abs=1e-5)
        assert mine["ce_loss_score"] == pytest.approx(theirs["ce_loss_score"], abs=1e-5)


def test_zero_ablation_differs_where_rows_have_a_bos():
    """sae_lens zeroes BOS too, though its splice leaves BOS alone; here BOS keeps its own activation in both."""
    mine, theirs = judged("relu", True)
    assert abs(mine["ce_loss_with_ablation"] - theirs["ce_loss_with_ablation"]) > 1e-3
    assert not math.isclose(mine["ce_loss_score"], theirs["ce_loss_score"], abs_tol=1e-5)


def test_kl_differs_by_the_last_position():
    """sae_lens counts KL at every position; here it is counted where a prediction can be judged."""
    mine, theirs = judged("relu", False)
    assert abs(mine["kl_div_with_sae"] - theirs["kl_div_with_sae"]) > 1e-5
