"""Ours: the resolvent chooses too. More features are proposed than are kept: the weak ones go, the rest is solved."""

from functools import partial
from typing import Any

from rsae.arms import Arm, Inputs

RHOS = [0.01, 0.03, 0.1, 0.3]


def proposing(factor: float, sae: Any, inputs: Inputs) -> Any:
    """The teacher with more features proposed per token, and a resolvent that keeps as many as the teacher has."""
    from rsae.training.start.refined import pruned

    return pruned(sae, inputs.calibration, RHOS, factor)


DECODER = ("W_dec", "b_dec", "refine.")  # what proposes moves with b_dec alone, and on dense teachers it moves far
ARMS = [
    Arm("pruned_init", build=partial(proposing, 1.5)),
    Arm("pruned_init_2", build=partial(proposing, 2.0)),
    Arm("pruned", start="pruned_init", trains=DECODER, objective="error"),
    Arm("pruned_held", start="pruned_init", trains=("W_dec", "refine."), objective="error"),  # proposals stay
]
