"""The resolvent against numpy, token by token; its gradient against finite differences; its limits."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import orthogonal_mp

from rsae.sae.codes import Codes, Places
from rsae.sae.gates.relu import ReLU
from rsae.sae.gates.topk import TopK
from rsae.sae.model import SAE
from rsae.sae.refine import pursuit, resolvent
from rsae.sae.refine.pursuit import Pursuit
from rsae.sae.refine.resolvent import Resolvent, Solve, blocks
from rsae.sae.refine.steps import Steps

N, D_IN, D_SAE = 40, 12, 30


def solved(*given):
    x, z0, W_dec, rho, cut = given
    codes = Codes.of(z0)
    return codes._replace(values=Solve.apply(x, codes.values, W_dec, rho, codes.places, cut)).dense()


@pytest.fixture
def case():
    g = torch.Generator().manual_seed(3)
    W_dec = torch.randn(D_SAE, D_IN, generator=g, dtype=torch.double)
    x = torch.randn(N, D_IN, generator=g, dtype=torch.double)
    z0 = torch.rand(N, D_SAE, generator=g, dtype=torch.double)
    z0 = torch.where(torch.rand(N, D_SAE, generator=g) < torch.linspace(0, 0.6, N)[:, None], z0, 0.0)
    rho = torch.rand(D_SAE, generator=g, dtype=torch.double) + 0.1
    return x, z0, W_dec, rho


def by_numpy(x, z0, W_dec, rho):
    z = np.zeros(z0.shape)
    for i in range(len(x)):
        s = np.flatnonzero(z0[i])
        D = W_dec[s]
        z[i, s] = np.linalg.solve(D @ D.T + np.diag(rho[s]), D @ x[i] + rho[s] * z0[i, s])
    return z


@pytest.mark.parametrize("block", [resolvent.BLOCK["cpu"], 400])
def test_agrees_with_one_solve_per_token_however_it_is_cut(case, block, monkeypatch):
    monkeypatch.setitem(resolvent.BLOCK, "cpu", block)
    z = solved(*case, None)
    np.testing.assert_allclose(z.numpy(), by_numpy(*(c.numpy() for c in case)), atol=1e-12)
    assert (z[0] == 0).all()  # a token without active features


def test_gradients_agree_with_finite_differences(case):
    x, z0, W_dec, rho = (c[25:29] if c.shape[0] == N else c for c in case)
    inputs = [c.clone().requires_grad_() for c in (x, W_dec, rho)]
    assert torch.autograd.gradcheck(lambda x, W, r: solved(x, z0, W, r, None), inputs, atol=1e-6)
    support = z0 != 0
    moved = z0[support].clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda m: solved(x, torch.zeros_like(z0).masked_scatter(support, m), W_dec, rho, None), [moved], atol=1e-6
    )


def test_with_a_cut_the_weak_ones_go_and_the_rest_is_solved_again(case):
    x, z0, W_dec, rho = (c.numpy() for c in case)
    first = by_numpy(x, z0, W_dec, rho)
    cut = float(np.quantile(first[first > 0], 0.6))
    kept = first * np.linalg.norm(W_dec, axis=1) > cut
    wanted = by_numpy(x, np.where(kept, z0, 0.0), W_dec, rho)
    assert 0 < kept.sum() < (z0 != 0).sum() / 2
    np.testing.assert_allclose(solved(*case, cut).numpy(), wanted, atol=1e-12)
    proposed = Resolvent(case[3].log())(*(c.float() for c in case[:3]))
    np.testing.assert_allclose(
        Resolvent(case[3].log(), cut=cut).proposed(*(c.float() for c in case[:3])).detach(), proposed.detach()
    )


def test_gradients_with_a_cut_are_those_of_the_support_that_is_left(case):
    x, z0, W_dec, rho = (c[25:29] if c.shape[0] == N else c for c in case)
    cut, leaves = 0.3, [c.clone().requires_grad_() for c in (x, W_dec, rho)]
    assert 0 < int((solved(x, z0, W_dec, rho, cut) != 0).sum()) < int((z0 != 0).sum())
    assert torch.autograd.gradcheck(lambda x, W, r: solved(x, z0, W, r, cut), leaves, atol=1e-6)


def test_limits_are_the_gates_own_codes_and_least_squares(case):
    x, z0, W_dec, _ = (c.float() for c in case)
    near = Resolvent(torch.full((D_SAE,), 20.0))(x, z0, W_dec)
    torch.testing.assert_close(near, z0, atol=1e-4, rtol=1e-4)
    few = torch.where(z0.cumsum(1) < 3, z0, 0.0)  # fewer active features than dimensions: one solution
    far = Resolvent(torch.full((D_SAE,), -14.0), rectify=False)(x, few, W_dec)
    for i in range(N):
        s = few[i] != 0
        wanted = np.linalg.lstsq(W_dec[s].T.numpy(), x[i].numpy(), rcond=None)[0]
        np.testing.assert_allclose(far[i, s].detach().numpy(), wanted, atol=1e-2, rtol=1e-2)


def test_no_refinement_adds_a_feature(case):
    x, z0, W_dec, _ = (c.float() for c in case)
    for refinement in (Resolvent(torch.zeros(D_SAE)), Steps(torch.full((3,), -3.0)), Steps(torch.zeros(1), exact=True)):
        z = refinement(x, z0, W_dec)
        assert (z >= 0).all()
        assert not ((z != 0) & (z0 == 0)).any()


def test_dependent_rows_are_refused_by_name():
    W_dec = torch.ones(3, 2)
    with pytest.raises(ValueError, match="depend on each other"):
        Resolvent(torch.full((3,), -100.0))(torch.ones(1, 2), torch.ones(1, 3), W_dec)


def test_an_exact_step_is_the_best_of_all_lengths():
    W_dec, x, z0 = torch.tensor([[1.0, 0.0], [1.0, 1.0]]), torch.tensor([[3.0, 1.0]]), torch.tensor([[1.0, 1.0]])
    # residual (1, 0), gradient (1, 1) on the codes, which moves x_hat by (2, 1): alpha = 2 / 5
    assert Steps(torch.zeros(1), exact=True)(x, z0, W_dec).tolist() == [[pytest.approx(1.4), pytest.approx(1.4)]]
    alpha = torch.tensor([0.25])
    assert Steps(alpha.log())(x, z0, W_dec).tolist() == [[pytest.approx(1.25), pytest.approx(1.25)]]


def test_blocks_cover_every_active_code_once_with_little_padding():
    g = torch.Generator().manual_seed(0)
    support = torch.rand(500, 64, generator=g) < torch.rand(500, 1, generator=g)
    seen, cells = torch.zeros(500, 64, dtype=torch.int), 0
    places = Places.of(support)
    for rows, at, inside in blocks(places, 16):
        index = places.feature[at]
        seen[rows[:, None].expand_as(index)[inside], index[inside]] += 1
        cells += index.numel()
    assert torch.equal(seen, support.int())
    assert cells < 1.3 * int(support.sum())


@pytest.mark.parametrize(
    "refinement",
    [Resolvent(torch.linspace(-1, 1, 32)), Resolvent(torch.zeros(32), cut=0.2), Steps(torch.tensor([-2.0, -3.0]))],
)
def test_a_refined_sae_survives_saving(make_sae, tmp_path, refinement):
    sae = make_sae(TopK(4)).with_refinement(refinement)
    x = torch.randn(9, 8)
    sae.save(tmp_path / "sae", {})
    again = SAE.load(tmp_path / "sae")
    torch.testing.assert_close(again.encode(x), sae.encode(x))
    assert (again.encode(x) - make_sae(TopK(4)).encode(x)).abs().max() > 1e-2


def test_a_smooth_gate_has_no_support_to_refine_on(make_sae):
    from rsae.sae.gates.polynomial import Polynomial

    with pytest.raises(ValueError, match="no exact zeros"):
        make_sae(Polynomial(torch.ones(2))).with_refinement(Resolvent(torch.zeros(32)))
    make_sae(ReLU()).with_refinement(Resolvent(torch.zeros(32)))


@pytest.mark.parametrize("block", [pursuit.BLOCK["cpu"], 100])
@pytest.mark.parametrize("k", [1, 4, 9])
def test_a_pursuit_is_that_of_scikit_learn(case, k, block, monkeypatch):
    monkeypatch.setitem(pursuit.BLOCK, "cpu", block)
    x, _, W_dec, _ = case
    norm = W_dec.norm(dim=1)
    z = Pursuit(k, rectify=False)(x, torch.ones(N, D_SAE, dtype=torch.double), W_dec)
    wanted = np.transpose(orthogonal_mp((W_dec / norm[:, None]).T.numpy(), x.T.numpy(), n_nonzero_coefs=k))
    assert ((z != 0).sum(1) == k).all()
    np.testing.assert_allclose(z.numpy() * norm.numpy(), wanted, atol=1e-4)


def test_a_pursuit_finds_what_was_planted(case):
    """Three rows of an orthogonal dictionary: greedy is exact there, and stops where nothing is left."""
    W_dec = torch.linalg.qr(torch.randn(D_IN, D_IN, generator=torch.Generator().manual_seed(0)))[0] * 3
    z = torch.zeros(5, D_IN)
    z[:, [1, 4, 7]] = torch.rand(5, 3, generator=torch.Generator().manual_seed(1)) + 0.5
    found = Pursuit(6)(z @ W_dec, torch.ones_like(z), W_dec)
    torch.testing.assert_close(found, z, atol=1e-4, rtol=1e-4)
    assert ((found > 1e-4).sum(1) == 3).all()


def test_a_pursuit_takes_what_is_proposed_and_correlates_positively(case):
    x, z0, W_dec, _ = case
    z = Pursuit(5)(x, z0, W_dec)
    assert (z >= 0).all()
    assert (z[z0 == 0] == 0).all()
    assert 1 < float((z != 0).sum(1).double().mean()) <= 5
    assert (z[0] == 0).all()
    flipped = Pursuit(1)(-x, torch.ones_like(z0), W_dec)
    one = Pursuit(1)(x, torch.ones_like(z0), -W_dec)
    torch.testing.assert_close(flipped, one)


@pytest.mark.parametrize("k", [0, -1])
def test_a_pursuit_of_no_rounds_is_refused(k):
    with pytest.raises(ValueError, match="whole number of rounds"):
        Pursuit(k)
