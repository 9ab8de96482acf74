"""Holm by hand, and what each word stands for."""

import math

import numpy as np
import pytest
from scipy import stats

from rsae.report.stats.bootstrap import normal_p
from rsae.report.stats.cells import Comparison
from rsae.report.stats.verdicts import holm, verdicts
from rsae.report.tables.standard import strict


def comparison(metric="mse_sum", difference=-0.2, p=1e-6, denser=False, arm="rsae"):
    return Comparison(
        "h", "t", arm, "teacher_ft", "hard", metric, difference, difference - 0.01, difference + 0.01,
        "win", False, denser, 10.0, p,
    )  # fmt: skip


def test_holm_by_hand():
    # sorted .01 .02 .03 .04 times 4 3 2 1: .04 .06 .06 .04, made monotone
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_keeps_the_share_of_false_alarms_of_a_family():
    rng = np.random.default_rng(0)
    alarms = sum(min(holm(list(rng.uniform(size=20)))) <= 0.05 for _ in range(2000)) / 2000
    assert 0.03 < alarms < 0.07  # without adjustment it would be 64%


@pytest.mark.parametrize("z", [0.0, 0.5, 1.96, 4.0])
def test_p_is_the_normal_one(z):
    assert normal_p(z * 3, 3.0) == pytest.approx(2 * stats.norm.sf(z))


def test_p_without_spread():
    assert normal_p(0.0, 0.0) == 1.0
    assert normal_p(1.0, 0.0) == 0.0
    assert math.isclose(normal_p(-1.0, 1.0), normal_p(1.0, 1.0))


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({}, "win"),  # -2% of 10
        ({"difference": 0.2}, "loss"),
        ({"difference": -0.05}, "tie"),  # 0.5%: significant, and too small to matter
        ({"p": 0.06}, "tie"),
        ({"denser": True}, "paid"),
        ({"denser": True, "difference": 0.2}, "loss"),
        ({"metric": "alive", "difference": 0.01}, "win"),
        ({"metric": "alive", "difference": 0.001}, "tie"),
    ],
)
def test_words(given, word):
    assert verdicts([comparison(**given)])[0].word == word


def test_a_family_is_adjusted_as_one():
    lone, crowd = verdicts([comparison(p=0.02)]), verdicts([comparison(p=0.02)] * 3)
    assert lone[0].word == "win"
    assert {v.word for v in crowd} == {"tie"}


def test_the_table_shows_percent_and_word():
    metrics = ("mse_sum", "l0", "alive", "delta_ce", "loss_recovered_zero")
    text = strict([comparison(metric=m) for m in metrics])
    assert "win (-2.0%)" in text
    assert "loss (-0.2000)" in text  # alive fell
    assert "5 comparisons" in text
