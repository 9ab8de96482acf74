"""Densities, cuts, stability and contexts of features, against counting by hand."""

import numpy as np
import pytest
import torch

from rsae.data.text.tokens import Row, TokenRows
from rsae.evaluate.densities import STRENGTHS, Portrait, binned, curve, elementwise, preactivation
from rsae.evaluate.stability import FEWEST, Strongest, Together, compare, overlap
from rsae.evaluate.top_contexts import AFTER, BEFORE, Text, apart, contexts
from rsae.sae.gates.jumprelu import JumpReLU
from rsae.sae.gates.relu import ReLU
from rsae.sae.gates.rescaled import Rescaled
from rsae.sae.gates.topk import TopK
from rsae.sae.refine.resolvent import Resolvent


def random_codes(n_tok: int, d_sae: int, seed: int, share: float = 0.3) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    on = torch.rand(n_tok, d_sae, generator=g) < share
    return torch.where(on, 0.1 + torch.rand(n_tok, d_sae, generator=g), 0.0)


def test_l0_at_every_cut_is_counted(make_sae):
    sae = make_sae(ReLU(), seed=1)
    x = torch.randn(300, 8)
    look = Portrait(sae)
    for part in x.split(70):
        z = sae.encode(part)
        look.add(z, z)
    strength = sae.encode(x) * sae.W_dec.norm(dim=1)
    found = look.summary()
    for eps, l0 in list(zip(STRENGTHS, found["l0_at"], strict=True))[::7]:
        # within a token: an edge may fall between float32 and float64
        assert l0 == pytest.approx(float((strength > eps).sum()) / 300, abs=0.01)
    assert found["l0"] == pytest.approx(float((strength > 0).sum()) / 300)
    assert sum(found["density"]) + found["dead"] == sae.d_sae
    np.testing.assert_allclose(look.density, (strength > 0).float().mean(0).numpy())


def test_the_curve_of_an_elementwise_gate_is_the_gate(make_sae):
    threshold = torch.linspace(0, 1, 32)
    sae = make_sae(JumpReLU(threshold))
    h = torch.linspace(-1, 2, 50)
    assert elementwise(sae)
    torch.testing.assert_close(curve(sae, 20, h), torch.where(h > threshold[20], h, 0.0))
    for other in (make_sae(TopK(3)), make_sae(Rescaled(TopK(3), torch.zeros(32)))):
        assert not elementwise(other)
    assert not elementwise(make_sae(ReLU()).with_refinement(Resolvent(torch.zeros(32))))


@pytest.mark.parametrize("how", [{}, {"apply_b_dec_to_input": False}, {"normalize_activations": "layer_norm"}])
def test_one_preactivation_is_its_column_of_all(make_sae, how):
    sae, x = make_sae(ReLU(), **how), torch.randn(40, 8)
    torch.testing.assert_close(preactivation(sae, x, 5), sae.preactivations(x)[:, 5], rtol=1e-5, atol=1e-5)


def test_bins_hold_counts_and_means():
    counts, means = binned(torch.tensor([0.1, 0.2, 2.5]), torch.tensor([1.0, 3.0, 5.0]), np.array([0.0, 1.0, 2.0, 3.0]))
    assert counts == [2, 0, 1]
    assert means == [2.0, None, 5.0]


def both(a: torch.Tensor, b: torch.Tensor, W: tuple[torch.Tensor, torch.Tensor]):
    """Stability of ``b`` against ``a``, in pieces."""
    together, strongest = Together(a.shape[1]), (Strongest(a.shape[1]), Strongest(a.shape[1]))
    for x, y in zip(a.split(110), b.split(110), strict=True):
        together.add(x, y)
        strongest[0].add(x)
        strongest[1].add(y)
    return compare(W, together, strongest, (a != 0).sum(0))


def test_the_same_sae_is_perfectly_stable_and_scale_does_not_matter():
    a, W = random_codes(500, 6, 0), torch.randn(6, 4)
    found = both(a, 3 * a, (W, W / 3))
    assert found.feature.tolist() == list(range(6))
    for figure in (found.cosine, found.correlation, found.overlap):
        np.testing.assert_allclose(figure, 1, atol=1e-6)


def test_correlation_is_pearsons_and_a_turned_row_is_seen():
    a, b, W = random_codes(500, 6, 0), random_codes(500, 6, 1), torch.randn(6, 4)
    b[:, 5] = a[:, 5] + 0.3 * b[:, 5]
    turned = W.clone()
    turned[2] *= -1
    found = both(a, b, (W, turned))
    for j in range(6):
        assert found.correlation[j] == pytest.approx(np.corrcoef(a[:, j], b[:, j])[0, 1], abs=1e-5)
    assert found.cosine[2] == pytest.approx(-1)
    assert found.correlation[5] > 0.8


def test_rare_features_are_left_out_and_dead_ones_count_as_lost():
    a, W = random_codes(500, 3, 0), torch.randn(3, 4)
    a[FEWEST - 1 :, 0] = 0  # active on at most one too few
    b = a.clone()
    b[:, 1] = 0
    found = both(a, b, (W, W))
    assert found.feature.tolist() == [1, 2]
    assert found.correlation.tolist() == [0, pytest.approx(1)]
    assert found.overlap.tolist() == [0, 1]


def test_the_strongest_tokens_are_those_of_a_sort():
    z = random_codes(400, 5, 3)
    kept = Strongest(5, k=7)
    for part in z.split(90):
        kept.add(part)
    for j in range(5):
        assert set(kept.found()[j].tolist()) == set(z[:, j].argsort(descending=True)[:7].tolist())
    few = Strongest(1, k=4)
    few.add(torch.tensor([[0.0], [2.0], [0.0]]))
    assert few.found().tolist() == [[1, -1, -1]]
    assert overlap(torch.tensor([[1, 2, -1], [-1, -1, -1]]), torch.tensor([[2, 5, 7], [-1, -1, -1]])).tolist() == [
        0.5,
        0,
    ]


def test_contexts_stay_in_their_document_and_show_the_codes(make_sae):
    rows = [Row(0, "first", np.arange(30, dtype=np.int32)), Row(1, "second", np.arange(30, 70, dtype=np.int32))]
    text = Text.of(TokenRows(rows, bos=True))
    assert len(text.ids) == 68  # BOS is no text
    assert text.window(29) == slice(29, 29 + AFTER + 1)  # the second document's first token
    assert text.window(28) == slice(28 - BEFORE, 29)  # the first one's last
    assert apart([5, 6, 40, -1, 5 + AFTER + 1]) == [5, 40, 5 + AFTER + 1]
    sae, x = make_sae(ReLU()), torch.randn(68, 8)
    (found,) = contexts(sae, x, text, 3, [40, 41], str)
    assert found["document"] == "second"
    assert found["words"][found["at"]] == str(text.ids[40])
    z = sae.encode(x)[40 - found["at"] : 40 + AFTER + 1, 3]
    assert found["codes"] == pytest.approx(z.tolist(), abs=1e-3)
