"""The minimax fit of a gate, as a record that is shared by all hosts."""

from typing import Any

from rsae.rational import targets
from rsae.rational.conversion import convert
from rsae.rational.minimax import minimax


def fitted(
    *,
    target: str,
    degree: tuple[int, int],
    theta: float | None = None,
    delta: float | None = None,
    grid: int | None = None,
) -> dict[str, Any]:
    """Fit ``target`` by a rational of type ``degree``; the record is JSON-ready.

    ``num`` and ``den`` ascend in u = t - center. ``grid_mse`` is the mean squared error over the
    4001-point grid, ``grid_mse_excluding_gap`` over those points of it that the fit was asked for. Under
    ``safe_pade``: the form that the gate evaluates, what the conversion cost, and sup |r'| on [-1, 1].
    """
    wanted = targets.make(target, theta, delta)
    p, q = degree
    fit = minimax(wanted, p, q, grid)
    form, exact, cost = convert(wanted, fit)
    return {
        "target": target,
        "theta": theta,
        "delta": delta,
        "degree": [p, q],
        "num": fit.num.tolist(),
        "den": fit.den.tolist(),
        "center": fit.center,
        "safe_pade": {
            "num": form.num.tolist(),
            "den": form.den.tolist(),
            "exact": exact,
            "cost": cost,
            "lipschitz": form.lipschitz(),
        },
        "max_error": fit.max_error,
        "grid_mse": fit.grid_mse,
        "grid_mse_excluding_gap": fit.grid_mse_excluding_gap,
        "deviation": fit.deviation,
        "n_alternations": fit.n_alternations,
        "defect": fit.defect,
        "n_iter": fit.n_iter,
        "converged": fit.converged,
        "reason": fit.reason,
    }
