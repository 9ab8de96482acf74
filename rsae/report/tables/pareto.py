"""Error against sparsity: each arm's front over the settings of a sweep, and arms compared at one l0.

A point of a front is an arm at one setting: mean over seeds, with the same resamples of documents
and seeds at every point, so that a difference of two fronts is a paired one.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from rsae.report.stats.bootstrap import interval, normal_p
from rsae.report.stats.cells import Pair
from rsae.report.stats.verdicts import RELATIVE, SIGNIFICANCE, holm

METRICS = ("mse_sum", "fvu", "delta_ce")
LEAST = {"fvu": RELATIVE["mse_sum"], **RELATIVE}  # smallest difference that is called one, relative
CONTROL = "teacher_ft"


class Front(NamedTuple):
    """Points of one arm, sparsest first; the value itself, then the resamples."""

    settings: list[str]
    l0: Float[np.ndarray, "n_point draws"]
    value: dict[str, Float[np.ndarray, "n_point draws"]]  # by metric

    def within(self, l0: Float[np.ndarray, " draws"]) -> Float[np.ndarray, " draws"]:
        """``l0``, or the front's end where that comes first."""
        return np.clip(l0, self.l0.min(0), self.l0.max(0))

    def covers(self, l0: Float[np.ndarray, " draws"]) -> bool:
        """Whether ``l0`` lies between the sparsest and the densest point, or ties with either, in every resample."""
        return bool((np.abs(self.within(l0) - l0) <= RELATIVE["l0"] * l0).all())


def front(pairs: Sequence[Pair], arm: str, support: str = "hard") -> Front:
    """The front of ``arm`` over ``pairs``, one SAE at several sparsities judged on the same documents."""
    weights = pairs[0].weights()
    l0 = np.stack([pair.averaged(arm, support, "l0", weights) for pair in pairs])
    order = np.argsort(l0[:, 0])
    value = {m: np.stack([pair.averaged(arm, support, m, weights) for pair in pairs])[order] for m in METRICS}
    return Front([pairs[i].teacher for i in order], l0[order], value)


def at(found: Front, metric: str, l0: Float[np.ndarray, " draws"]) -> Float[np.ndarray, " draws"]:
    """The front's value at ``l0``, piecewise linear in log l0, resample by resample; at an end, the end's own value.

    Where a front is convex in log l0, as error fronts are, a chord lies above it: interpolation
    can only make the interpolated arm look worse.

    Raises:
        ValueError: ``l0`` leaves the range of the points in a resample, by more than what counts as the same l0;
            nothing is extrapolated.
    """
    if not found.covers(l0):
        raise ValueError(
            f"l0 {l0[0]:.4g} is outside {found.l0[0, 0]:.4g} to {found.l0[-1, 0]:.4g}, where there are points;"
            " nothing is extrapolated: add a setting to the suite"
        )
    order = np.argsort(found.l0, axis=0)
    x = np.log(np.take_along_axis(found.l0, order, 0))
    y = np.take_along_axis(found.value[metric], order, 0)
    return np.array([np.interp(v, x[:, i], y[:, i]) for i, v in enumerate(np.log(l0))])


def dominated(found: Front, metric: str) -> list[bool]:
    """Whether another point of the same arm is no denser and no worse, and better in one of the two."""
    points = list(zip(found.l0[:, 0], found.value[metric][:, 0], strict=True))
    return [any(a <= l0 and b <= value and (a, b) != (l0, value) for a, b in points) for l0, value in points]


class Matched(NamedTuple):
    """An arm against the control at the l0 of one of the control's points."""

    front: str
    arm: str
    metric: str
    setting: str  # of the control's point
    l0: float
    control: float
    arm_l0: float = np.nan  # where the arm is taken: at ``l0``, or at an end of its front that ties with it
    value: float = np.nan  # the arm's, interpolated; NaN where the l0 is outside its range
    difference: float = np.nan
    ci_low: float = np.nan
    ci_high: float = np.nan
    p: float = np.nan  # adjusted by Holm over all that could be compared
    verdict: str = "outside"


def matched(name: str, control: Front, arms: dict[str, Front]) -> list[Matched]:
    """Every arm at the l0 of every point of the control: the control is measured there, the arm interpolated."""
    rows, adjust = [], []
    for arm, found in arms.items():
        for metric in METRICS:
            for i, setting in enumerate(control.settings):
                reference = control.value[metric][i]
                row = Matched(name, arm, metric, setting, float(control.l0[i, 0]), float(reference[0]))
                if found.covers(control.l0[i]):
                    value = at(found, metric, control.l0[i])
                    difference = value - reference
                    low, high = interval(difference[0], difference[1:])
                    row = row._replace(
                        arm_l0=float(found.within(control.l0[i])[0]),
                        value=float(value[0]), difference=float(difference[0]), ci_low=low, ci_high=high,
                        p=normal_p(difference[0], difference[1:].std()), verdict="",
                    )  # fmt: skip
                    adjust.append(len(rows))
                rows.append(row)
    for i, p in zip(adjust, holm([rows[i].p for i in adjust]), strict=True):
        rows[i] = rows[i]._replace(p=p, verdict=_word(rows[i]._replace(p=p)))
    return rows


def _word(row: Matched) -> str:
    least = LEAST[row.metric] * (2 if row.arm_l0 > row.l0 else 1)  # what up to 1% more features may buy comes on top
    if not row.p <= SIGNIFICANCE or abs(row.difference) < least * abs(row.control):
        return "tie"
    return "win" if row.difference < 0 else "loss"  # all three metrics are errors
