"""Interpolation against closed forms, refusal outside the range, verdicts on planted fronts."""

import numpy as np
import pytest

from rsae.evaluate.per_document import Cell
from rsae.report.stats.cells import Pair
from rsae.report.tables import pareto

L0 = np.array([8.0, 16.0, 32.0, 64.0])


def front(value, l0=L0, draws=4):
    spread = np.ones((1, draws))
    return pareto.Front([f"s{i}" for i in range(len(l0))], l0[:, None] * spread, {"mse_sum": value[:, None] * spread})


def test_a_line_in_log_l0_is_met_exactly():
    found = front(20 - 3 * np.log(L0))
    for l0 in (8.0, 11.3, 40.0, 64.0):
        assert pareto.at(found, "mse_sum", np.full(4, l0)) == pytest.approx(np.full(4, 20 - 3 * np.log(l0)))


def test_a_power_law_is_overstated_by_at_most_what_a_chord_may():
    # y = 30 l0^-p has y'' = p² y in log l0: a chord over h = log 2 lies above it, by at most h² p² y(left) / 8
    p, h = 0.5, np.log(2)
    found = front(30 * L0**-p)
    for l0 in np.linspace(8, 64, 50):
        left = 8 * 2 ** np.floor(np.log2(l0 / 8))
        above = pareto.at(found, "mse_sum", np.full(4, l0))[0] - 30 * l0**-p
        assert -1e-12 <= above <= h**2 * p**2 * 30 * left**-p / 8


def test_each_resample_is_interpolated_between_its_own_points():
    found = front(L0)._replace(
        l0=L0[:, None] * np.array([[1.0, 2.0]]), value={"mse_sum": np.log(L0)[:, None] * np.array([[1.0, 10.0]])}
    )
    assert pareto.at(found, "mse_sum", np.array([16.0, 32.0])) == pytest.approx([np.log(16), 10 * np.log(16)])


@pytest.mark.parametrize("l0", [7.9, 64.7])  # more than 1% off
def test_nothing_is_extrapolated(l0):
    with pytest.raises(ValueError, match=r"outside 8 to 64.*nothing is extrapolated"):
        pareto.at(front(L0), "mse_sum", np.full(4, l0))
    once = np.array([16.0, 16.0, l0, 16.0])  # in a single resample
    assert not front(L0).covers(once)


@pytest.mark.parametrize(("l0", "value"), [(7.95, np.log(8)), (64.5, np.log(64)), (16.0, np.log(16))])
def test_an_end_that_ties_in_l0_is_taken_as_it_is(l0, value):
    found = front(np.log(L0))
    assert pareto.at(found, "mse_sum", np.full(4, l0)) == pytest.approx(np.full(4, value))
    assert found.within(np.full(4, l0)) == pytest.approx(np.full(4, np.exp(value)))


def test_dominated_points_are_marked():
    assert pareto.dominated(front(np.array([9.0, 5.0, 6.0, 4.0])), "mse_sum") == [False, False, True, False]
    assert pareto.dominated(front(np.array([4.0, 4.0, 4.0, 4.0])), "mse_sum") == [False, True, True, True]


def pairs(arms):
    """One pair per setting; ``arms`` maps a name to its (l0, mse) in each, noise shared as documents share it."""
    rng = np.random.default_rng(0)
    n_doc = 150
    noise, n_tok = rng.gamma(5, 0.2, n_doc), rng.integers(20, 60, n_doc).astype(float)
    found = []
    for setting in range(len(next(iter(arms.values())))):
        cells = {}
        for arm, points in arms.items():
            l0, mse = points[setting]
            for seed in (0, 1):
                cells[Cell(arm, seed, "hard")] = {
                    "n_tok": n_tok, "active": l0 * n_tok, "sse": mse * n_tok * noise, "sst": 100 * n_tok,
                    "n_pred": n_tok, "ce_clean": 3 * n_tok, "ce_spliced": (3 + mse / 100 * noise) * n_tok,
                }  # fmt: skip
        found.append(Pair("h", f"setting-{setting}", cells, seed=7))
    return found


def compared(arms):
    members = pairs(arms)
    fronts = {arm: pareto.front(members, arm) for arm in arms}
    control = fronts.pop("teacher_ft")
    return {(r.arm, r.metric, r.setting): r for r in pareto.matched("h/f", control, fronts)}


def test_an_arm_is_compared_at_the_controls_l0_and_nowhere_outside_its_own_range():
    def curve(l0, factor):
        return l0, factor * (20 - 3 * np.log(l0))

    arms = {
        "teacher_ft": [curve(l0, 1.0) for l0 in (8, 16, 32, 64)],
        # denser than the control at every setting, so a naive comparison would flatter it
        "better": [curve(l0, 0.8) for l0 in (12, 24, 48, 96)],
        "same": [curve(l0, 1.0) for l0 in (12, 24, 48, 96)],
        "worse": [curve(l0, 1.1) for l0 in (12, 24, 48, 96)],
    }
    found = compared(arms)
    for metric in pareto.METRICS:
        assert found["better", metric, "setting-0"].verdict == "outside"
        assert np.isnan(found["better", metric, "setting-0"].value)
        for setting, l0 in (("setting-1", 16), ("setting-2", 32), ("setting-3", 64)):
            row = found["better", metric, setting]
            assert row.l0 == pytest.approx(l0)
            assert row.verdict == "win"
            assert row.difference / row.control == pytest.approx(-0.2)
            assert row.ci_high < 0
            assert found["same", metric, setting].verdict == "tie"
            assert found["worse", metric, setting].verdict == "loss"


def test_an_arm_that_is_denser_by_a_tie_must_win_by_twice_as_much():
    def found(l0, factor):
        points = {"teacher_ft": [(16, 5.0), (32, 4.0)], "arm": [(l0, 5.0 * factor), (40, 3.0)]}
        return compared(points)["arm", "mse_sum", "setting-0"]

    for factor, word in ((0.985, "tie"), (0.975, "win")):
        row = found(16.1, factor)  # 0.6% denser, and 1.5% or 2.5% better
        assert (row.verdict, row.arm_l0) == (word, pytest.approx(16.1))
    row = found(15.9, 0.985)  # sparser, hence interpolated
    assert row.arm_l0 == row.l0
    assert found(16.2, 0.5).verdict == "outside"


def test_points_come_sparsest_first_whatever_the_order_of_the_settings():
    members = pairs({"teacher_ft": [(30, 1.0), (10, 2.0), (20, 1.5)]})
    found = pareto.front(members, "teacher_ft")
    assert found.settings == ["setting-1", "setting-2", "setting-0"]
    assert list(found.l0[:, 0]) == pytest.approx([10, 20, 30])
