"""What sparsity costs in the objective that a teacher was trained with, read off the teacher itself."""

from collections.abc import Sequence

import torch
from torch import Tensor

from rsae.sae.gates.jumprelu import JumpReLU
from rsae.sae.gates.topk import TopK
from rsae.sae.model import SAE


@torch.no_grad()
def own_coefficient(teacher: SAE, data: Sequence[Tensor]) -> float:
    """The λ of the teacher's own objective (see :mod:`rsae.training.objectives`) at which ``teacher`` is stationary.

    Few publishers state λ, and units differ. At the end of training the loss cannot fall by
    scaling all codes: d/ds [‖x - s·x̂₀‖² + s·λ Σ z‖W_dec‖] = 0, with x̂₀ = W_decᵀz, gives
    λ = 2 ⟨x - x̂, x̂₀⟩ / Σ z‖W_dec‖. For JumpReLU it cannot fall by moving thresholds: the
    straight-through estimates of both terms (arXiv 2407.14435, eqs. 11 and 12) cancel at
    λ = 2 θ_j ⟨x - x̂, W_dec,j⟩, averaged over the pre-activations near their threshold. TopK has no price.

    Units: activation units for l1, squared ones for JumpReLU's L0. Never negative.

    Raises:
        ValueError: no code is active, or no pre-activation is near a threshold.
    """
    if isinstance(teacher.gate, TopK):
        return 0.0
    gain, price = 0.0, 0.0
    for x in data:
        h = teacher.preactivations(x)
        z = teacher.gate(h)
        read = teacher.normalised(x)
        residual = read - torch.addmm(teacher.b_dec, z, teacher.W_dec)
        if isinstance(teacher.gate, JumpReLU):
            theta = teacher.gate.threshold.clamp_min(0)
            near = (h - theta).abs() < teacher.gate.bandwidth / 2
            gain += float((near * theta * (residual @ teacher.W_dec.T)).double().sum())
            price += float(near.double().sum())
        else:
            gain += float((residual * (z @ teacher.W_dec)).double().sum())
            price += float(teacher.strength(z).double().sum())
    if price == 0:
        raise ValueError("this teacher has no active code on the calibration data, so its λ cannot be estimated")
    return max(0.0, 2 * gain / price)
