import numpy as np
import pytest

from rsae.evaluate.per_document import Cell
from rsae.report.stats.bootstrap import interval, resamples
from rsae.report.stats.cells import COLUMNS, Pair, comparisons, frame

N_DOC = 200


def pair(**arms):
    """A synthetic pair: {arm: (mse, l0)}, noise shared by all arms as documents share it."""
    rng = np.random.default_rng(0)
    noise = rng.gamma(5, 1, N_DOC)
    n_tok = rng.integers(20, 60, N_DOC).astype(float)
    cells = {}
    for arm, (mse, l0) in arms.items():
        for support in ("raw", "hard"):
            cells[Cell(arm, 0, support)] = {
                "n_tok": n_tok,
                "sse": mse * n_tok * noise / 5,
                "sst": 100 * n_tok,
                "active": l0 * n_tok,
                "effective": l0 * n_tok,
                "energy": n_tok,
                "leaked": 0 * n_tok,
                "negative": 0 * n_tok,
                "fired": np.ones((N_DOC, 8), np.uint8),
                "d_in": np.full(N_DOC, 4),
                "d_sae": np.full(N_DOC, 8),
                "n_pred": n_tok,
                "ce_clean": 3 * n_tok,
                "ce_spliced": (3 + mse / 100) * n_tok,
                "ce_zero": 8 * n_tok,
                "ce_mean": 7 * n_tok,
                "kl": mse / 100 * n_tok,
            }
    return Pair("h", "t", cells, seed=0)


def test_cells_have_the_promised_columns_one_row_per_number():
    table = frame("s", [pair(teacher=(5, 20), rsae=(4, 20))])
    assert tuple(table.columns) == COLUMNS
    assert len(table) == 2 * 2 * 16
    assert not table.duplicated(["host", "teacher", "arm", "seed", "support", "metric"]).any()
    slack = 1e-12 * table.value
    assert ((table.ci_low - slack <= table.value) & (table.value <= table.ci_high + slack)).all()


def test_a_planted_nan_is_caught_and_named():
    broken = pair(teacher=(5, 20), rsae=(float("nan"), 20))
    with pytest.raises(ValueError, match=r"mse_sum of h/t.*rsae"):
        frame("s", [broken])


def verdicts(p, baseline="teacher"):
    return {(c.arm, c.metric): c for c in comparisons(p) if c.baseline == baseline and c.support == "hard"}


def test_win_tie_and_loss():
    found = verdicts(pair(teacher=(5, 20), teacher_ft=(5, 20), better=(4.9, 19), worse=(5.1, 21)))
    assert found["better", "mse_sum"].verdict == "win"
    assert found["better", "l0"].verdict == "win"
    assert found["better", "alive"].verdict == "tie"
    assert found["worse", "mse_sum"].verdict == "loss"
    assert found["worse", "loss_recovered_zero"].verdict == "loss"
    assert found["teacher_ft", "mse_sum"].verdict == "tie"


def with_seeds(p, arm, factors):
    """The arm's one seed replaced by several, whose error is the old one times a factor each."""
    cells = {}
    for cell, columns in p.cells.items():
        for seed, factor in enumerate(factors) if cell.arm == arm else [(cell.seed, 1)]:
            cells[cell._replace(seed=seed)] = columns | {"sse": columns["sse"] * factor}
    return p._replace(cells=cells)


def test_one_lucky_seed_is_not_a_win():
    steady = verdicts(with_seeds(pair(teacher=(5, 20), arm=(5, 20)), "arm", [0.9, 0.9, 0.9]))["arm", "mse_sum"]
    lucky = verdicts(with_seeds(pair(teacher=(5, 20), arm=(5, 20)), "arm", [1.0, 1.0, 0.7]))["arm", "mse_sum"]
    assert steady.difference == pytest.approx(lucky.difference, rel=1e-9)
    assert steady.verdict == "win"
    assert lucky.verdict == "tie"


def test_seeds_that_share_batches_are_compared_in_pairs():
    shared = [0.8, 1.0, 1.2]  # what the batches do, to both arms alike
    p = with_seeds(pair(teacher=(5, 20), teacher_ft=(5, 20), arm=(4.9, 20)), "arm", shared)
    p = with_seeds(p, "teacher_ft", shared)
    assert verdicts(p, "teacher_ft")["arm", "mse_sum"].verdict == "win"
    assert verdicts(p, "teacher")["arm", "mse_sum"].verdict == "tie"


def test_a_win_that_was_bought_with_active_features_is_marked():
    found = verdicts(pair(teacher=(5, 20), leaky=(4, 8192), honest=(4, 20)))
    assert found["leaky", "mse_sum"].verdict == "win"
    assert found["leaky", "mse_sum"].l0_exceeded
    assert not found["honest", "mse_sum"].l0_exceeded


def test_no_difference_is_a_tie_even_if_a_rare_resample_differs():
    # all draws but a few are exactly 0, so both quantiles are 0 while the mean of the draws is not
    low, high = interval(0.0, np.r_[np.zeros(1990), np.full(10, -0.5)])
    assert low <= 0 <= high


def test_the_interval_covers_as_often_as_it_says():
    # the mean of n exponential documents: coverage of a 95% bootstrap interval is near, a bit below, 95%
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(300):
        x = rng.exponential(size=80)
        w = resamples(80, trial, 400)
        low, high = interval(x.mean(), (w @ x) / 80)
        covered += low <= 1 <= high
    assert 0.89 <= covered / 300 <= 0.98


def test_a_pair_without_numbers_is_named_with_its_reason():
    from rsae.report.tables.standard import not_run

    text = not_run({"gemma-2-2b/relu": "gated: set HF_TOKEN"})
    assert [cell.strip() for cell in text.splitlines()[-1].split("|")[1:-1]] == [
        "gemma-2-2b", "relu", "not run", "gated: set HF_TOKEN",
    ]  # fmt: skip
    assert not_run({}) == ""
