"""The literature's sparse coder on the teacher's dictionary, no encoder at all: what does a gate leave on the table?"""

from typing import Any

from rsae.arms import Arm, Inputs


def pursued(sae: Any, inputs: Inputs) -> Any:
    """Orthogonal matching pursuit over all features, as many per token as the teacher has on average, rounded down."""
    from rsae.training.start.refined import with_pursuit

    return with_pursuit(sae, inputs.calibration)


ARMS = [Arm("pursuit", build=pursued)]
