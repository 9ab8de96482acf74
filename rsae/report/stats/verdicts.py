"""The strict reading of a suite's comparisons: what is left when luck, leakage and trifles are taken out."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from rsae.report.stats.cells import Comparison
from rsae.report.stats.metrics import KNOWN

SIGNIFICANCE = 0.05  # of a whole family of comparisons
# What is worth a word, fixed before any suite was run: relative to the baseline, or absolute for shares.
RELATIVE = {"mse_sum": 0.01, "l0": 0.01, "delta_ce": 0.02}
ABSOLUTE = {"alive": 0.002, "loss_recovered_zero": 0.001}
PROBED = 0.01  # balanced accuracy of sparse probes

Word = Literal["win", "tie", "loss", "paid"]


class Verdict(NamedTuple):
    """``paid``: it would be a win, but with more active features than the baseline."""

    comparison: Comparison
    p: float  # adjusted by Holm within the family
    word: Word


def verdicts(family: Sequence[Comparison]) -> list[Verdict]:
    """Win, tie or loss of each member of a family that is read together.

    A difference counts if it is significant at 5% after Holm's step-down adjustment over the
    family and at least as large as the minimum effect.
    """
    return [Verdict(c, p, _word(c, p)) for c, p in zip(family, holm([c.p for c in family]), strict=True)]


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p values (1979): the i-th smallest of m times m - i + 1, made monotone, at most 1."""
    order = np.argsort(p)
    adjusted, largest = [0.0] * len(p), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, (len(p) - rank) * p[i])
        adjusted[i] = min(1.0, largest)
    return adjusted


def _word(c: Comparison, p: float) -> Word:
    least = RELATIVE[c.metric] * abs(c.reference) if c.metric in RELATIVE else ABSOLUTE.get(c.metric, PROBED)
    if not p <= SIGNIFICANCE or abs(c.difference) < least:
        return "tie"
    if np.sign(c.difference) != KNOWN[c.metric].better:
        return "loss"
    return "paid" if c.denser_than_baseline and c.metric != "l0" else "win"
