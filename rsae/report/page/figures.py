"""Every figure of the page, from what was measured of a pair."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from rsae.report.page.style import panels

Found = Mapping[str, Any]  # of one pair, as rsae.stages.evaluation.examine writes it
FIXED = {
    "teacher": "#1d1d1f",
    "teacher_ft": "#8a8f98",
    "rsae_init": "#f2b36b",
    "rsae": "#d9480f",
    "resolvent_init": "#91c1ec",
    "resolvent": "#1971c2",
    "pruned_init": "#8fd6a0",
    "pruned": "#2f9e44",
}
OTHERS = ("#9c36b5", "#0c8599", "#e8a400", "#c2255c", "#5f3dc4", "#74b816", "#a0522d", "#66788a", "#12b886")
MANY = 6  # arms, beyond which a legend no longer fits inside
STABLE = {
    "cosine": "cosine of decoder rows",
    "correlation": "correlation of codes",
    "overlap": "shared strongest tokens",
}


def wide(arms: Collection[str]) -> bool:
    """Whether figures of so many arms have their legend beside them."""
    return len(arms) > MANY


def _width(arms: Collection[str]) -> float:
    return 6.6 if wide(arms) else 4.6  # inches; the page shows two or three side by side


def _legend(axis: Axes, beside: bool, loc: Literal["best", "upper left"] = "best") -> None:
    if beside:
        axis.figure.legend(*axis.get_legend_handles_labels(), loc="outside right upper", fontsize=7)
    else:
        axis.legend(fontsize=7, loc=loc)


def colours(arms: Sequence[str]) -> dict[str, str]:
    """The same colour for an arm in every figure of a suite."""
    others = iter(OTHERS * (1 + len(arms) // len(OTHERS)))
    return {arm: FIXED[arm] if arm in FIXED else next(others) for arm in arms}


def fronts(cells: pd.DataFrame, out: Path, name: str, colour: Mapping[str, str]) -> None:
    """L0 against error on hard codes, one point per arm, mean over seeds; the staircase joins what nothing beats."""
    hard = cells[cells.support == "hard"]
    metrics = [m for m in ("mse_sum", "delta_ce", "fvu") if m in set(hard.metric)][:2]
    table = {k: g[["value", "ci_low", "ci_high"]].mean() for k, g in hard.groupby(["arm", "metric"], sort=False)}
    arms = list(dict.fromkeys(hard.arm))
    with panels(out, name, len(metrics), 4.8, 3.2) as axes:
        for axis, metric in zip(axes, metrics, strict=True):
            points = []
            for arm in arms:
                x, y = table[arm, "l0"], table[arm, metric]
                points.append((float(x.value), float(y.value)))
                axis.errorbar(
                    x.value, y.value, fmt="o", ms=6, color=colour[arm], capsize=0, lw=1.2, label=arm,
                    xerr=[[max(0, x.value - x.ci_low)], [max(0, x.ci_high - x.value)]],
                    yerr=[[max(0, y.value - y.ci_low)], [max(0, y.ci_high - y.value)]],
                )  # fmt: skip
            front = [p for p in sorted(points) if not any(_beats(q, p) for q in points)]
            axis.step(*zip(*front, strict=True), where="post", color="#adb5bd", lw=1, zorder=0)
            axis.axvline(table["teacher", "l0"].value, color=colour["teacher"], lw=0.8, ls=":", zorder=0)
            axis.set_xlabel("l0, features per token")
            axis.set_ylabel(metric)
        _legend(axes[0], True)


def _beats(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a != b and a[0] <= b[0] and a[1] <= b[1]


def gates(found: Found, out: Path, name: str, colour: Mapping[str, str]) -> None:
    """One feature's gate in every arm, before and after; beneath, where its pre-activations are."""
    gate = found["gate"]
    edges = np.array(gate["edges"])
    middle = (edges[1:] + edges[:-1]) / 2
    with panels(out, name, 1, _width(gate["arms"]), 4.4, beneath=0.45) as (curves, histogram):
        for arm, its in gate["arms"].items():
            style = {"color": colour[arm], "lw": 2.2 if arm == "teacher" else 1.5, "label": arm}
            if its["exact"]:
                curves.plot(gate["points"], its["codes"], ls="--" if arm == "teacher" else "-", **style)
            else:  # no curve: mean code of the tokens in a bin
                codes = [np.nan if v is None else v for v in its["codes"]]
                curves.plot(middle, codes, marker=".", ms=3, ls=":", **{**style, "label": f"{arm} (mean code)"})
            filled = {"fill": True, "alpha": 0.25} if arm == "teacher" else {}
            histogram.stairs(its["counts"], edges, color=colour[arm], lw=1, **filled)
        curves.set_ylabel("code z")
        _legend(curves, wide(gate["arms"]), "upper left")
        histogram.set_yscale("symlog", linthresh=1)
        histogram.set_ylabel("tokens")
        histogram.set_xlabel(f"pre-activation h of feature {gate['feature']}")


def thresholds(found: Found, out: Path, name: str, colour: Mapping[str, str]) -> None:
    """How many features are stronger than eps, for every eps; a dot where an arm's own support rule cuts."""
    strengths = np.array(found["strengths"])
    with panels(out, name, 1, _width(found["arms"]), 3.6) as (axis,):
        for arm, its in found["arms"].items():
            l0 = np.array(its["l0_at"])
            axis.plot(strengths, np.where(l0 > 0, l0, np.nan), color=colour[arm], lw=1.6, label=arm)
            if its["eps"]:
                axis.plot(its["eps"], its["l0"], "o", ms=6, color=colour[arm])
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_ylim(bottom=0.1)
        axis.axhline(found["arms"]["teacher"]["l0"], color=colour["teacher"], lw=0.8, ls=":")
        axis.set_xlabel("eps: a feature counts where |z| · ‖W_dec‖ > eps")
        axis.set_ylabel("features per token")
        _legend(axis, wide(found["arms"]))


def densities(found: Found, out: Path, name: str, colour: Mapping[str, str]) -> None:
    """How often features are in the support; the dead ones are counted in the legend."""
    edges = np.array(found["densities"])
    with panels(out, name, 1, _width(found["arms"]), 3.4) as (axis,):
        for arm, its in found["arms"].items():
            filled = {"fill": True, "alpha": 0.15} if arm == "teacher" else {}
            axis.stairs(its["density"], edges, color=colour[arm], lw=1.5, label=f"{arm}, {its['dead']} dead", **filled)
        _decades(axis)
        axis.set_xlabel("share of tokens on which a feature is in the support")
        axis.set_ylabel("features")
        _legend(axis, wide(found["arms"]))


def _decades(axis: Axes) -> None:
    axis.set_xticks(range(-5, 1), [f"$10^{{{e}}}$" if e else "1" for e in range(-5, 1)])


def stability(found: Found, out: Path, name: str, colour: Mapping[str, str]) -> None:
    """Shares of features that are at least so alike to the teacher's."""
    shares = np.linspace(0, 1, 101)
    with panels(out, name, len(STABLE), 3.2, 3.0) as axes:
        for axis, (measure, label) in zip(axes, STABLE.items(), strict=True):
            for arm, its in found["stability"].items():
                if its:
                    axis.plot(its[measure], 1 - shares, color=colour[arm], lw=1.5, label=arm)
            axis.set_xlabel(label)
            axis.margins(x=0.02)
            axis.locator_params(axis="x", nbins=4)
            axis.set_ylim(0, 1.02)
        axes[0].set_ylabel("share of features at least so alike")
        _legend(axes[0], True)
