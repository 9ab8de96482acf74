"""Hand-computed cases, limits, and invariances of every metric."""

import numpy as np
import pytest
import torch

from rsae.data.activations.shards import Block
from rsae.evaluate import per_document
from rsae.evaluate.reconstruction import reconstruction_sums, site_mean
from rsae.report.stats.metrics import DOWNSTREAM, METRICS, RECONSTRUCTION
from rsae.sae.gates.relu import ReLU
from rsae.sae.model import SAE


def value(name, columns):
    n_doc = len(next(iter(columns.values())))
    return METRICS[name].value(columns, np.ones((1, n_doc)))[0]


class Fixed(SAE):
    """An SAE with given codes and reconstruction, to be judged by hand."""

    def __init__(self, z, x_hat):
        (d_sae, d_in) = z.shape[1], x_hat.shape[1]
        W_dec = torch.tensor([[2.0, 0.0]] * d_sae)
        super().__init__(
            torch.zeros(d_in, d_sae),
            torch.zeros(d_sae),
            W_dec,
            torch.zeros(d_in),
            ReLU(),
            eps=0.5,
        )
        self.z, self.x_hat = z, x_hat

    def encode(self, x):
        return self.z

    def hard(self, z):
        return torch.where(z.abs() > 0.5, z, 0.0)

    def decode(self, z, x=None):
        return self.x_hat


def judged(sae, x, document, hard=False, cut=None):
    mean = site_mean([Block(document, document, x.numpy())])
    pieces = [(document, x)] if cut is None else [(document[c], x[c]) for c in cut]
    n_doc = int(document.max()) + 1
    s = reconstruction_sums(sae, pieces, mean, n_doc)["hard" if hard else "raw"]
    return s._asdict() | {"d_in": np.full(n_doc, x.shape[1]), "d_sae": np.full(n_doc, sae.d_sae)}


def test_by_hand():
    x = torch.tensor([[0.0, 1.0], [6.0, 9.0], [0.0, 2.0]])  # mean (2, 4): distances² 13, 41, 8
    x_hat = torch.tensor([[0.0, 0.0], [6.0, 7.0], [0.0, 2.0]])  # errors² 1, 4, 0
    z = torch.tensor([[1.0, 0.0, 0.1, 0.0], [0.0, -2.0, 0.0, 0.0], [0.3, 0.0, 0.0, 0.0]])
    document = np.array([0, 0, 1])
    raw, hard = (judged(Fixed(z, x_hat), x, document, h) for h in (False, True))
    assert value("mse_sum", raw) == pytest.approx(5 / 3)
    assert value("mse_mean", raw) == pytest.approx(5 / 6)
    assert value("fvu", raw) == pytest.approx(5 / 62)
    assert value("l0", raw) == pytest.approx(4 / 3)
    assert value("alive", raw) == pytest.approx(3 / 4)
    assert value("l0", hard) == pytest.approx(2 / 3)
    # written: 2 |z|, squared 4 .04 | 16 | .36
    assert value("l0_effective", raw) == pytest.approx((2.2**2 / 4.04 + 1 + 1) / 3)
    assert value("leak", raw) == pytest.approx((0.04 + 0.36) / 20.4)
    assert value("negative", raw) == pytest.approx(16 / 20.4)
    assert value("l0_effective", hard) == pytest.approx((1 + 1 + 0) / 3)
    assert value("leak", hard) == 0
    assert value("negative", hard) == pytest.approx(16 / 20)
    assert value("alive", hard) == pytest.approx(2 / 4)


def test_predicting_the_mean_explains_nothing_and_the_truth_everything():
    x = torch.tensor([[0.0, 1.0], [6.0, 9.0]])  # each row sits (3, 4) from the mean
    z, document = torch.ones(2, 4), np.array([0, 1])
    mean = judged(Fixed(z, x.mean(0).expand_as(x)), x, document)
    assert value("mse_sum", mean) == pytest.approx(25.0)
    assert value("fvu", mean) == pytest.approx(1.0)
    assert value("fvu", judged(Fixed(z, x), x, document)) == 0


def test_an_sae_that_never_fires_leaks_nothing():
    x = torch.tensor([[0.0, 1.0], [6.0, 9.0]])
    dead = judged(Fixed(torch.zeros(2, 4), x), x, np.array([0, 1]))
    assert [value(name, dead) for name in ("l0", "alive", "l0_effective", "leak", "negative")] == [0] * 5


def test_no_metric_depends_on_batches(make_sae):
    sae = make_sae(ReLU())
    x = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
    document = np.repeat(np.arange(5), 40)
    whole = judged(sae, x, document)
    pieces = judged(sae, x, document, cut=[slice(i, i + 33) for i in range(0, 200, 33)])
    shuffled = judged(sae, x, document, cut=[slice(120, 200), slice(0, 120)])
    for name in RECONSTRUCTION:
        assert value(name, pieces) == pytest.approx(value(name, whole), rel=1e-6), name
        assert value(name, shuffled) == pytest.approx(value(name, whole), rel=1e-6), name


def test_downstream_by_hand():
    columns = {
        "n_pred": np.array([2.0, 6.0]),
        "ce_clean": np.array([4.0, 12.0]),
        "ce_spliced": np.array([5.0, 13.0]),
        "ce_zero": np.array([16.0, 40.0]),
        "ce_mean": np.array([10.0, 26.0]),
        "kl": np.array([0.5, 1.5]),
    }
    assert value("ce_clean", columns) == pytest.approx(2.0)
    assert value("delta_ce", columns) == pytest.approx(0.25)
    assert value("loss_recovered_zero", columns) == pytest.approx((56 - 18) / (56 - 16))
    assert value("loss_recovered_mean", columns) == pytest.approx((36 - 18) / (36 - 16))
    assert value("kl", columns) == pytest.approx(0.25)


def test_a_weight_of_two_is_a_document_twice():
    rng = np.random.default_rng(0)
    columns = {k: rng.random(3) + 1 for k in ("n_pred", "ce_clean", "ce_spliced", "ce_zero", "ce_mean", "kl")}
    doubled = {k: np.r_[v, v[1]] for k, v in columns.items()}
    for name in DOWNSTREAM:
        weighted = METRICS[name].value(columns, np.array([[1.0, 2.0, 1.0]]))[0]
        assert weighted == pytest.approx(value(name, doubled)), name


def test_alive_counts_drawn_documents_only():
    columns = {"fired": np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]], np.uint8), "d_sae": np.full(3, 4)}
    weights = np.array([[1.0, 1, 1], [3, 0, 0], [0, 1, 2]])
    np.testing.assert_allclose(METRICS["alive"].value(columns, weights), [3 / 4, 1 / 4, 3 / 4])


def test_sums_round_trip(tmp_path):
    fired = np.random.default_rng(0).random((3, 13)) > 0.5  # not a multiple of eight
    cell = per_document.Cell("rsae", 2, "hard")
    per_document.write(tmp_path / "s.parquet", {cell: {"n_tok": np.array([1.0, 2, 3]), "fired": fired}})
    read = per_document.read(tmp_path / "s.parquet")
    assert list(read) == [cell]
    np.testing.assert_array_equal(read[cell]["n_tok"], [1, 2, 3])
    np.testing.assert_array_equal(read[cell]["fired"][:, :13], fired)
    assert read[cell]["fired"][:, 13:].sum() == 0
