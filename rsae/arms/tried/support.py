"""The teacher's support, another curve for the magnitudes: are rational ones special?"""

from functools import partial
from typing import Any

from rsae.arms import Arm


def supported(curve: str, sae: Any) -> Any:
    """The SAE whose codes pass through a shared curve, the identity to begin with."""
    from rsae.sae.gates.supported import Supported, identity_curve

    return sae.with_gate(Supported(sae.gate, identity_curve(curve)))


CURVES = ("affine", "cubic", "rational")
ARMS = [Arm(f"support_{curve}", start="teacher", prepare=partial(supported, curve)) for curve in CURVES]
