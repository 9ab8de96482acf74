"""The minimax fit of a gate, as a record that is shared by all hosts."""

from typing import Any

import numpy as np

from rsae.rational import safe_pade, targets
from rsae.rational.minimax import GRID, minimax


def run(
    *, target: str, degree: tuple[int, int], theta: float | None = None, delta: float | None = None
) -> dict[str, Any]:
    """Fit ``target`` by a rational of type ``degree``; the record is JSON-ready.

    ``num`` and ``den`` ascend in u = t - center. ``grid_mse`` is the mean squared error over the
    4001-point grid, ``grid_mse_excluding_gap`` over those points of it that the fit was asked for.
    """
    wanted = targets.make(target, theta, delta)
    p, q = degree
    fit = minimax(wanted, p, q)
    form = safe_pade.from_fit(fit)
    grid = np.linspace(-1, 1, GRID)
    squared = (fit(grid) - wanted.value(grid)) ** 2
    asked = np.any([(grid >= a) & (grid <= b) for a, b in wanted.intervals], axis=0)
    return {
        "target": target,
        "theta": theta,
        "delta": delta,
        "degree": [p, q],
        "num": fit.num.tolist(),
        "den": fit.den.tolist(),
        "center": fit.center,
        "safe_pade": {"num": form.num.tolist(), "den": form.den.tolist()},
        "max_error": fit.max_error,
        "grid_mse": float(squared.mean()),
        "grid_mse_excluding_gap": float(squared[asked].mean()),
        "deviation": fit.deviation,
        "n_alternations": fit.n_alternations,
        "defect": max(0, p + q + 2 - fit.n_alternations),
        "n_iter": fit.n_iter,
        "converged": fit.converged,
        "reason": fit.reason,
    }
