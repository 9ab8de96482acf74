"""The teacher behind a layer norm of its input: is a token's own scale what a threshold should be measured in?"""

from typing import Any

from rsae.arms import Arm, Inputs


def normalised(sae: Any, inputs: Inputs) -> Any:
    """The teacher reading each token without its mean, in units of its std, at its own l0."""
    from rsae.training.start.layer_norm import layer_normalised

    return layer_normalised(sae, inputs.calibration)


ARMS = [
    Arm("token_norm_init", build=normalised),
    Arm("token_norm", start="token_norm_init"),
]
