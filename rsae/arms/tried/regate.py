"""A ReLU teacher with JumpReLU's gate: is it the gate's kind that decides, or the price that goes with it?"""

from typing import Any

from rsae.arms import Arm

THRESHOLD = 0.1  # of the median active code of unit decoder rows; small enough to change little at first


def regated(sae: Any) -> Any:
    """The SAE with small thresholds."""
    import torch

    from rsae.sae.gates.jumprelu import JumpReLU

    return sae.with_gate(JumpReLU(torch.full((sae.d_sae,), THRESHOLD)))


ARMS = [
    Arm("regate", ("relu",), start="teacher", prepare=regated, objective="own"),
    Arm("regate_l1", ("relu",), start="teacher", prepare=regated, objective="weighed"),
]
