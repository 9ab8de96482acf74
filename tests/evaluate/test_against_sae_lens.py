"""Our numbers against sae_lens's own evals on the same tokens; and where the two define differently."""

import math

import pytest
import torch
from sae_lens import SAE as SaeLensSAE

from benchmarks.peers import sae_lens_evals
from rsae.data.activations.host import Host
from rsae.sae import loading

CTX = 48


def judged(kind, bos):
    """(ours, theirs) for an embedded teacher on eight whole rows."""
    ids = torch.randint(1, 2048, (8, CTX), generator=torch.Generator().manual_seed(0))
    if bos:
        ids[:, 0] = sae_lens_evals.BOS
    path = f"{sae_lens_evals.TEACHERS}/{kind}"
    host = Host(sae_lens_evals.HOST, sae_lens_evals.HOOK)
    return sae_lens_evals.judged(loading.load(path, kind, 128), SaeLensSAE.load_from_disk(path), ids, bos, host)


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
