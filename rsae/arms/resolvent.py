"""Ours: the softened least squares on the support, its limit, and a ladder of steps towards it."""

from functools import partial
from typing import Any

from rsae.arms import Arm, Inputs

RHOS = [10 ** (e / 4) for e in range(-8, 9)]  # 0.01 .. 100
RIDGE = 1e-5  # makes dependent decoder rows solvable


def chosen(sae: Any, inputs: Inputs) -> Any:
    """The teacher with one rho for all features, the best on calibration documents."""
    from rsae.training.start.refined import best_rho

    return best_rho(sae, inputs.calibration, RHOS)


def least_squares(sae: Any, inputs: Inputs) -> Any:
    """The teacher with the best codes that its support and decoder allow, negative ones included."""
    from rsae.training.start.refined import with_rho

    return with_rho(sae, RIDGE, rectify=False), {}


def stepped(n: int, exact: bool, sae: Any) -> Any:
    """The SAE with n steps behind its gate."""
    from rsae.training.start.refined import with_steps

    return with_steps(sae, n, exact)


ARMS = [
    Arm("lstsq_on_support", build=least_squares),
    Arm("resolvent_init", build=chosen),
    Arm("resolvent", start="resolvent_init", objective="own"),
    Arm("steps_1", start="teacher", prepare=partial(stepped, 1, False), objective="own"),
    Arm("steps_3", start="teacher", prepare=partial(stepped, 3, False), objective="own"),
    Arm("line_search", start="teacher", prepare=partial(stepped, 1, True), objective="own"),
]
