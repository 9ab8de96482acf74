"""Each number of the anatomy against a direct count, NumPy's correlation, or a planted change."""

import numpy as np
import pytest
import torch

from rsae.evaluate.anatomy import EPS, MIN_ACTIVE, anatomy
from rsae.sae.gates.relu import ReLU
from rsae.sae.gates.topk import TopK
from rsae.sae.refine.base import Refinement
from rsae.training.start.refined import with_rho

DATA = list(torch.randn(600, 8, generator=torch.Generator().manual_seed(1)).split(250))


class Scripted(Refinement):
    """Doubles codes, and sets those of the first four features to zero."""

    method = "scripted"

    def forward(self, x, z0, W_dec):
        z = 2 * z0
        z[:, :4] = 0
        return z


def test_curve_and_density_are_counts(make_sae):
    sae = make_sae(ReLU())
    sae.eps = 0.4
    with torch.no_grad():
        z = torch.cat([sae.encode(x) for x in DATA])
        strength = sae.strength(z).numpy()
    found = anatomy(sae, sae, DATA)
    assert found.l0_by_eps == pytest.approx([(strength > eps).sum() / 600 for eps in EPS], abs=1e-9)
    assert found.density == pytest.approx((strength > 0.4).mean(0))
    assert np.isnan(found.clipped)
    assert np.isnan(found.correlation).all()


def test_drift_of_the_decoder(make_sae):
    teacher, sae = make_sae(ReLU()), make_sae(ReLU())
    with torch.no_grad():
        sae.W_dec[0] *= 3
        sae.W_dec[1] *= -1
    found = anatomy(sae, teacher, DATA)
    assert found.norm_ratio[:3] == pytest.approx([3, 1, 1], rel=1e-6)
    assert found.cosine[:3] == pytest.approx([1, -1, 1], rel=1e-6)


def test_what_a_refinement_returns_is_held_against_what_it_was_given(make_sae):
    sae = make_sae(TopK(6)).with_refinement(Scripted())
    found = anatomy(sae, sae, DATA)
    with torch.no_grad():
        z0 = torch.cat([sae.gate(sae.preactivations(x)) for x in DATA])
    active = (z0 != 0).sum(0).numpy()
    assert found.clipped == pytest.approx(active[:4].sum() / active.sum())
    known = (active >= MIN_ACTIVE) & (np.arange(32) >= 4)
    assert found.correlation[known] == pytest.approx(1, abs=1e-6)
    assert np.isnan(found.correlation[:4]).all()  # constant


def test_the_correlation_is_numpys(make_sae):
    sae = with_rho(make_sae(TopK(6)), 0.3)
    found = anatomy(sae, sae, DATA)
    with torch.no_grad():
        z0 = torch.cat([sae.gate(sae.preactivations(x)) for x in DATA]).double().numpy()
        z = torch.cat([sae.encode(x) for x in DATA]).double().numpy()
    for j in range(32):
        on = z0[:, j] != 0
        if on.sum() >= MIN_ACTIVE:
            assert found.correlation[j] == pytest.approx(np.corrcoef(z0[on, j], z[on, j])[0, 1], abs=1e-5)


def test_the_table_shows_means_over_seeds(make_sae, tmp_path):
    from rsae.data.activations.shard_writer import write
    from rsae.data.activations.shards import Block
    from rsae.stages.evaluation import anatomy as stage
    from rsae.stages.tables import tabulate_anatomy

    x = torch.cat(DATA).numpy().astype(np.float16)
    block = Block(np.zeros(600, np.int32), np.arange(600, dtype=np.int32), x)
    write(tmp_path / "test", [block], n_tok=600, n_shards=1, dtype="float16", hook="h", documents=["d"], made_from=None)
    saes = {}
    for arm, seed, k in (("teacher", 0, 4), ("teacher_ft", 0, 4), ("teacher_ft", 1, 6)):
        saes[arm, seed] = tmp_path / arm / str(seed)
        make_sae(TopK(k)).save(saes[arm, seed], {})
    stage.run(tmp_path / "test", saes, tmp_path / "anatomy.parquet")
    tabulate_anatomy.run({("h", "t"): tmp_path / "anatomy.parquet"}, tmp_path / "tables")
    lines = (tmp_path / "tables/anatomy.md").read_text().splitlines()
    shown = {cells[3]: cells for cells in ([c.strip() for c in line.split("|")] for line in lines) if len(cells) > 10}
    # some of the k largest of 32 may be negative and read 0, on few tokens
    assert float(shown["teacher"][4]) == pytest.approx(4, abs=0.1)
    assert float(shown["teacher_ft"][4]) == pytest.approx(5, abs=0.2)
    assert (tmp_path / "tables/l0_by_eps.png").stat().st_size > 1000
