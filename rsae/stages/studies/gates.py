"""The atlas of gate fits: degrees, conversions, reported against measured, convergence; tables and figures."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from rsae.rational import targets
from rsae.rational.conversion import best_in_family, convert
from rsae.rational.fraction import Fraction
from rsae.rational.minimax import minimax
from rsae.rational.safe_pade import SafePade
from rsae.report.page.style import panels
from rsae.report.tables import writing
from rsae.runtime.files import read_sealed
from rsae.sae.gates.rational import Rational

REPORTED = {"relu": 3.8e-7, "jumprelu": 2.4e-6}  # the paper's MSE, for types (3, 2) and (9, 8)
REPORTED_DELTAS = [0.001, 0.003, 0.005, 0.01, 0.02]  # of the jump at 0.1; the paper states neither theta nor delta
GRID = np.linspace(-1, 1, targets.GRID)


class Record(NamedTuple):
    """One fit as the `fit-gate` command wrote it, with the target that it was fitted to."""

    json: dict[str, Any]
    target: targets.Target
    r: Fraction
    form: SafePade

    @property
    def label(self) -> str:
        """For titles: the target with its parameters."""
        shown = {"θ": self.json["theta"], "δ": self.json["delta"]}
        return " ".join([self.json["target"], *(f"{k}={v:g}" for k, v in shown.items() if v is not None)])


def read(path: Path) -> Record:
    """A record from its file."""
    j = read_sealed(path)
    r = Fraction(np.array(j["num"]), np.array(j["den"]), j["center"])
    form = SafePade(np.array(j["safe_pade"]["num"]), np.array(j["safe_pade"]["den"]), j["center"])
    return Record(j, targets.make(j["target"], j["theta"], j["delta"]), r, form)


def run(
    fits: Sequence[Path],
    out: Path,
    *,
    grid: Mapping[str, Sequence[float]],
    grid_degrees: Sequence[Sequence[int]],
) -> None:
    """``fits`` are records of `fit-gate`; ``grid`` the jumps of which it is counted how many converge."""
    torch.set_num_threads(1)
    records = [read(path) for path in fits]
    _fits(records, out)
    _reported(out)
    _grid(grid, grid_degrees, out)
    _draw_gates(records, out)
    _draw_errors(records, out)
    _draw_degrees(records, out)


def _fits(records: Sequence[Record], out: Path) -> None:
    header = [
        "target", "theta", "delta", "p", "q", "max error", "grid MSE", "MSE without gap", "alternations", "defect",
        "deviation", "steps", "converged", "1+|A| cost", "without b0", "its cost", "Lipschitz", "fp32 error", "reason",
    ]  # fmt: skip
    rows = [_row(record) for record in records]
    converged = sum(r[12] for r in rows)
    text = f"""# Fits

{converged} of {len(rows)} fits converged. Max error and alternations on the continuum, without the gap of half width
delta; MSE over the 4001-point grid. `1+|A| cost`: largest change by conversion to the safe-Padé form with a constant
term; `without b0`: whether that term can be spared in powers of t - theta, and the change if it is (where it cannot,
least squares within the family stand in). Lipschitz: sup |r'| on [-1, 1], gap included, for C_in = C_out = 1.
fp32 error: largest |torch gate in fp32 - float64| on [-1, 1], at arguments that fp32 holds exactly.
"""
    writing.write(rows, header, out, "fits", text)


def _row(record: Record) -> tuple[Any, ...]:
    j, form = record.json, record.json["safe_pade"]
    bare = convert(record.target, minimax(record.target, *j["degree"]), constant=False)
    problem = (j["target"], j["theta"], j["delta"], *j["degree"])
    quality = (j["max_error"], j["grid_mse"], j["grid_mse_excluding_gap"])
    proof = (j["n_alternations"], j["defect"], j["deviation"], j["n_iter"], j["converged"])
    conversion = (form["cost"], "exact" if bare.exact else "least squares", bare.cost)
    return (*problem, *quality, *proof, *conversion, form["lipschitz"], fp32_error(record), j["reason"])


def fp32_error(record: Record) -> float:
    """Largest difference between the torch gate and the float64 form, on arguments crowded around the break."""
    steps = np.geomspace(1e-7, 2, 20001)
    t = np.r_[np.linspace(-1, 1, 20001), record.r.center - steps, record.r.center + steps]
    t = np.clip(t, -1, 1).astype(np.float32)
    gate = Rational(record.form, torch.ones(1), torch.ones(1))
    with torch.no_grad():
        z = gate(torch.from_numpy(t)[:, None])[:, 0].double().numpy()
    return float(np.abs(z - record.form.inside(t.astype(float))).max())


def _reported(out: Path) -> None:
    header = ["target", "degree", "convention", "delta", "reported", "measured", "measured / reported", "holds"]
    rows: list[tuple[Any, ...]] = []

    def row(name: str, degree: tuple[int, int], convention: str, delta: float, measured: float) -> None:
        ratio = measured / REPORTED[name]
        rows.append((name, str(degree), convention, delta, REPORTED[name], measured, ratio, ratio <= 1))

    relu = targets.relu()
    for degree in ((3, 2), (5, 4), (7, 6)):
        fit = minimax(relu, *degree)
        form = convert(relu, fit).form
        row("relu", degree, "minimax, all points", np.nan, fit.grid_mse)
        even = best_in_family(form, GRID, relu.value(GRID), constant=False)
        row("relu", degree, "least squares, A without constant", np.nan, _mse(even, relu))
        free = best_in_family(form, GRID, relu.value(GRID))
        row("relu", degree, "least squares, A with constant", np.nan, _mse(free, relu))
    best = min(r[5] for r in rows if r[1] == "(3, 2)")
    reach = float(np.sqrt(REPORTED["relu"] / best))
    for delta in REPORTED_DELTAS:
        jump = targets.jumprelu(0.1, delta)
        asked = jump.asked(GRID)
        fit = minimax(jump, 9, 8)
        form = convert(jump, fit).form
        row("jumprelu", (9, 8), "minimax, gap excluded", delta, fit.grid_mse_excluding_gap)
        row("jumprelu", (9, 8), "minimax, all points", delta, fit.grid_mse)
        near = best_in_family(form, GRID[asked], jump.value(GRID[asked]))
        row("jumprelu", (9, 8), "least squares, gap excluded", delta, _mse(near, jump, asked))
        every = best_in_family(form, GRID, jump.value(GRID))
        row("jumprelu", (9, 8), "least squares on all points, from this fit", delta, _mse(every, jump))
        literal = convert(jump, fit, constant=False, center=0.0).form
        literal = best_in_family(literal, GRID, jump.value(GRID), constant=False)
        row("jumprelu", (9, 8), "the same in powers of t, A without constant", delta, _mse(literal, jump))
    jumps = [r for r in rows if r[0] == "jumprelu"]
    text = f"""# Reported against measured

Mean squared error over 4001 points of [-1, 1]; the paper states neither the convention nor theta and delta (here
theta = 0.1). Least squares are local: the best found from the minimax fit, no bound from below.

ReLU (3, 2) at 3.8e-7 does not hold under any convention tried: the smallest error is {best:.3g},
{best / REPORTED["relu"]:.0f} times as large. By homogeneity r_s(t) = s r(t/s) it would hold on
[-{reach:.3f}, {reach:.3f}]; on [-1, 1] it takes degree (7, 6).

JumpReLU (9, 8) at 2.4e-6 holds under {sum(r[-1] for r in jumps)} of {len(jumps)} conventions.
"""
    writing.write(rows, header, out, "reported", text)


def _mse(form: SafePade, target: targets.Target, asked: np.ndarray | None = None) -> float:
    squared = (form.inside(GRID) - target.value(GRID)) ** 2
    return float(squared.mean() if asked is None else squared[asked].mean())


def _grid(grid: Mapping[str, Sequence[float]], degrees: Sequence[Sequence[int]], out: Path) -> None:
    header = ["theta", "delta", "p", "q", "max error", "alternations", "deviation", "steps", "converged", "reason"]
    rows = []
    for theta, delta, (p, q) in product(grid["theta"], grid["delta"], degrees):
        fit = minimax(targets.jumprelu(theta, delta), p, q)
        found = (fit.max_error, fit.n_alternations, fit.deviation, fit.n_iter, fit.converged, fit.reason)
        rows.append((theta, delta, p, q, *found))
    converged = sum(r[8] for r in rows)
    first, any_ = (sum(r[9].startswith(f"exchange from reference{which}") for r in rows) for which in (" 1;", ""))
    text = f"""# Convergence

{converged} of {len(rows)} jumps converged: {first} from the first reference, {any_ - first} from another,
{converged - any_} by a fallback.
"""
    writing.write(rows, header, out, "grid", text)


def _pick(records: Sequence[Record], label: str, degree: list[int]) -> Record:
    return next(r for r in records if r.label == label and r.json["degree"] == degree)


SHOWN = [("relu", [3, 2]), ("relu", [9, 8]), ("jumprelu θ=0.1 δ=0.02", [9, 8]), ("sign δ=0.02", [9, 8])]


def _draw_gates(records: Sequence[Record], out: Path) -> None:
    t = np.linspace(-1.5, 1.5, 3001)
    with panels(out, "gates", len(SHOWN), width=3) as axes:
        for ax, (label, degree) in zip(axes, SHOWN, strict=True):
            record = _pick(records, label, degree)
            ax.axvspan(-1, 1, color="0.95", lw=0)
            ax.plot(t, record.target.value(t), "k:", lw=1, label="target")
            ax.plot(t, record.form.inside(t), lw=1.2, label="r, as the paper has it")
            if record.json["target"] != "sign":
                ax.plot(t, record.form(t), "--", lw=1.2, label="with clamp and tail")
            ax.set_title(f"{label} ({degree[0]}, {degree[1]})", fontsize=9)
            ax.set(xlabel="t")
            ax.legend(fontsize=7)


def _draw_errors(records: Sequence[Record], out: Path) -> None:
    """Signed errors over ±distance from the break, logarithmic on both sides: the peaks crowd there."""
    with panels(out, "errors", len(SHOWN), width=3) as axes:
        for ax, (label, degree) in zip(axes, SHOWN, strict=True):
            record = _pick(records, label, degree)
            c, top = record.r.center, record.json["max_error"]
            peaks = minimax(record.target, *degree).peaks
            inner = np.abs(peaks - c)
            threshold = float(inner[inner > 1e-12].min()) / 2
            steps = np.r_[np.linspace(0, threshold, 200), np.geomspace(threshold, 2, 4000)]
            for side in (-1, 1):
                t = c + side * steps
                t = t[record.target.asked(t)]
                ax.plot(t - c, (record.r(t) - record.target.value(t)) / top, "C0", lw=1)
            ax.plot(peaks - c, (record.r(peaks) - record.target.value(peaks)) / top, "C1.", ms=6)
            ax.set_xscale("symlog", linthresh=threshold)
            powers = 10.0 ** np.arange(np.ceil(np.log10(2 * threshold)), 1)
            ax.set_xticks(np.r_[-powers, 0, powers])
            ax.set_yticks([-1, 0, 1])
            ax.tick_params(axis="x", labelrotation=90)
            ax.set(xlabel="t - θ, logarithmic on both sides", ylabel=f"error / {top:.3g}")
            ax.set_title(f"{label} ({degree[0]}, {degree[1]})", fontsize=9)


def _draw_degrees(records: Sequence[Record], out: Path) -> None:
    labels = [label for label in dict.fromkeys(r.label for r in records) if not label.startswith("topk")]
    types = list(dict.fromkeys(tuple(r.json["degree"]) for r in records))
    with panels(out, "degree", 2, width=4.6) as (largest, mean):
        for label in labels:  # topk is the jump again
            part = [r.json for r in records if r.label == label and r.json["converged"]]
            at = [types.index(tuple(j["degree"])) for j in part]
            largest.plot(at, [j["max_error"] for j in part], ".-", lw=1, label=label)
            mean.plot(at, [j["grid_mse_excluding_gap"] for j in part], ".-", lw=1, label=label)
        for ax, title in ((largest, "largest error"), (mean, "grid MSE without the gap")):
            ax.set(yscale="log", xlabel="type (p, q)", title=title)
            ax.set_xticks(range(len(types)), [f"{p},{q}" for p, q in types])
        largest.legend(fontsize=7, loc="lower left")
