"""The teacher's support, magnitudes from a few curves of which each feature chooses softly."""

from typing import Any

from rsae.arms import Arm

CURVES = 4


def coded(sae: Any) -> Any:
    """The SAE whose codes pass through a mixture of curves; each is the identity to begin with."""
    import torch

    from rsae.sae.gates.mixture import Mixture
    from rsae.sae.gates.supported import Supported, identity_curve

    # equal choices would stay equal, for equal curves get equal gradients
    logits = torch.randn(sae.d_sae, CURVES, generator=torch.Generator().manual_seed(0))
    return sae.with_gate(Supported(sae.gate, Mixture([identity_curve("rational") for _ in range(CURVES)], logits)))


ARMS = [Arm("support_codebook", start="teacher", prepare=coded)]
