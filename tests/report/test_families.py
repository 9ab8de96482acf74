"""Teachers are resampled too: against closed forms, and what one lucky teacher is worth."""

import numpy as np
import pytest

from rsae.evaluate.per_document import Cell
from rsae.report.stats.bootstrap import resamples
from rsae.report.stats.cells import Comparison, Pair
from rsae.report.tables import families, paper_counting

N_DOC = 100


def pair(teacher, factor, l0=20.0, noise=0.0, seeds=(1.0, 1.0, 1.0)):
    """``arm`` has ``factor`` times the error of ``teacher_ft``, and each seed a factor of its own."""
    rng = np.random.default_rng(0)
    n_tok = rng.integers(20, 60, N_DOC).astype(float)
    cells = {}
    for arm, error, active in (("teacher", 5.0, 20.0), ("teacher_ft", 5.0, 20.0), ("arm", 5.0 * factor, l0)):
        for seed, own in enumerate(seeds if arm == "arm" else (1.0,) * len(seeds)):
            mse = error * own * (1 + noise * rng.normal(size=N_DOC))
            cells[Cell(arm, seed, "hard")] = {
                "n_tok": n_tok, "sse": mse * n_tok, "active": active * n_tok,
                "n_pred": n_tok, "ce_clean": 3 * n_tok, "ce_spliced": (3 + mse / 50) * n_tok,
            }  # fmt: skip
    return Pair("h", teacher, cells, seed=3)


def changes(*pairs):
    found = families.changes({"h/f": pairs}, ("teacher", "teacher_ft"))
    return {(c.arm, c.metric): c for c in found if c.baseline == "teacher_ft"}


def test_without_noise_the_spread_is_that_of_a_mean_of_drawn_teachers():
    # n of n drawn with replacement: variance of the mean = (1/n²) Σ (a_i - ā)²
    factors = np.array([0.9, 0.8, 0.7, 0.95])
    each, drawn = families.nested(
        [pair(f"t{i}", f) for i, f in enumerate(factors)], "arm", "teacher_ft", "mse_sum", seed=0
    )
    assert each == pytest.approx(factors - 1)
    assert drawn.mean() == pytest.approx((factors - 1).mean(), abs=0.005)
    assert drawn.std() == pytest.approx(np.sqrt(((factors - factors.mean()) ** 2).sum()) / 4, rel=0.05)


def test_seeds_are_drawn_within_each_teacher():
    # equal teachers, two seeds at ±0.1: each teacher's mean has variance 0.01/2, the mean of two teachers' 0.01/4 where
    # both are drawn (probability 1/2), and that of one of them twice 0.01/2
    family = [pair("a", 1.0, seeds=(0.9, 1.1)), pair("b", 1.0, seeds=(0.9, 1.1))]
    _, drawn = families.nested(family, "arm", "teacher_ft", "mse_sum", seed=0)
    assert drawn.var() == pytest.approx((0.01 / 4 + 0.01 / 2) / 2, rel=0.1)


def test_one_lucky_teacher_is_not_a_win():
    steady = changes(pair("a", 0.9), pair("b", 0.9), pair("c", 0.9))["arm", "mse_sum"]
    lucky = changes(pair("a", 1.0), pair("b", 1.0), pair("c", 0.7))["arm", "mse_sum"]
    assert steady.mean == pytest.approx(lucky.mean)
    assert steady.verdict == "win"
    assert lucky.verdict == "tie"
    assert lucky.each == pytest.approx({"a": 0.0, "b": 0.0, "c": -0.3})


def test_a_win_that_is_paid_for_with_features_is_marked():
    family = [pair(t, 0.8, l0=25.0) for t in "abc"]
    assert changes(*family)["arm", "mse_sum"].verdict == "paid"
    assert changes(*family)["arm", "l0"].verdict == "loss"


def test_documents_are_drawn_once_for_all_teachers():
    # the same noise in every teacher does not average out over teachers
    one, many = (
        families.nested([pair(t, 0.9, noise=0.3, seeds=(1.0,)) for t in names], "arm", "teacher_ft", "mse_sum", 0)[1]
        for names in ("a", "abcd")
    )
    assert many.std() == pytest.approx(one.std(), rel=0.1)
    assert len(one) == len(resamples(N_DOC, 0))


def row(arm, metric, difference, support="raw", p=1e-9, baseline="teacher"):
    return Comparison(
        "h", "t", arm, baseline, support, metric, difference, difference - 0.1, difference + 0.1, "win",
        False, False, 10.0, p,
    )  # fmt: skip


def test_the_papers_count_takes_any_gain_and_the_strict_one_does_not():
    rows = [
        row("rsae", "mse_sum", -1.0),
        row("rsae", "l0", +5.0),
        row("rsae", "alive", +1e-6),  # better, by a trifle
        row("rsae", "delta_ce", -0.5, p=0.3),  # better, by chance
        row("rsae", "loss_recovered_zero", -0.5),
        row("rsae", "mse_sum", -1.0, support="hard"),
    ]
    text = paper_counting.table(rows)
    counted = {
        tuple(cell.strip() for cell in line.split("|")[1:4]): [cell.strip() for cell in line.split("|")[4:6]]
        for line in text.splitlines()
        if line.startswith("| rsae")
    }
    assert counted["rsae", "raw", "teacher"] == ["2 of 3 (1)", "1 of 2 (0)"]
    assert counted["rsae", "hard", "teacher"] == ["1 of 1 (1)", "0 of 0 (0)"]


def test_teachers_that_were_judged_on_other_documents_are_no_family():
    other = pair("t1", 0.8)
    cells = {cell: columns | {"n_tok": columns["n_tok"][::-1]} for cell, columns in other.cells.items()}
    with pytest.raises(ValueError, match="t0 and t1 saw other test documents"):
        changes(pair("t0", 0.8), other._replace(cells=cells))
