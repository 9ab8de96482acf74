"""Rho per cluster: never worse than a shared one where it was chosen, and the same where one cluster is all."""

import pytest
import torch

from rsae.sae.gates.relu import ReLU
from rsae.sae.refine.resolvent import Resolvent
from rsae.upgrade.clustered import best_rhos
from rsae.upgrade.refined import best_rho

RHOS = [0.01, 0.3, 3.0]
DATA = list(torch.randn(400, 8, generator=torch.Generator().manual_seed(1)).split(200))


def log_rho(sae):
    refine = sae.refine
    assert isinstance(refine, Resolvent)
    return refine.log_rho.detach()


def test_clusters_are_no_worse_than_a_shared_rho_and_each_is_its_own_feature_set(make_sae):
    sae = make_sae(ReLU())
    found, facts = best_rhos(sae, DATA, RHOS, 4)
    _, shared = best_rho(sae, DATA, RHOS)
    assert facts["mse_sum"] <= min(shared["mse_sum_by_rho"].values()) * (1 + 1e-6)
    rho = log_rho(found).exp() / sae.W_dec.square().sum(1)
    fired = torch.stack([(sae.gate(sae.preactivations(x)) != 0).sum(0) for x in DATA]).sum(0)
    by_rank = rho[fired.argsort(stable=True)].reshape(4, 8)
    torch.testing.assert_close(by_rank, torch.tensor(facts["rhos"])[:, None].expand(4, 8))


def test_one_cluster_is_the_shared_rho(make_sae):
    sae = make_sae(ReLU())
    shared, facts = best_rho(sae, DATA, RHOS)
    found, clustered = best_rhos(sae, DATA, RHOS, 1)
    assert clustered["rhos"] == [facts["rho"]]
    torch.testing.assert_close(log_rho(found), log_rho(shared))
    assert clustered["mse_sum"] == pytest.approx(facts["mse_sum_by_rho"][f"{facts['rho']:.3g}"])
