"""Ours: a few steps of steepest descent on the support in place of the resolvent's solve, untrained."""

from functools import partial
from typing import Any

from rsae.arms import Arm, Inputs


def descended(n: int, sae: Any, inputs: Inputs) -> Any:
    """The teacher's codes as the start of n steps of steepest descent on the support, each of the best length."""
    from rsae.training.start.refined import with_steps

    return with_steps(sae, n, exact=True), {}


ARMS = [Arm(f"descent_{n}", build=partial(descended, n)) for n in (1, 2, 3, 5)]
