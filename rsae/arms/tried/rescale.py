"""One scale per feature behind the teacher's gate: how much of a win is undone shrinkage?"""

from typing import Any

from rsae.arms import Arm


def rescaled(sae: Any) -> Any:
    """The SAE with a trainable scale of 1 on each code."""
    from rsae.sae.gates.rescaled import Rescaled

    return sae.with_gate(Rescaled.identity(sae.gate, sae.d_sae))


ARMS = [Arm("rescale", start="teacher", prepare=rescaled, trains=("gate.log_scale",))]
