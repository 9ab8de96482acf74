"""A copy of a teacher that carries a calibrated rational gate."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rsae.rational.safe_pade import SafePade
from rsae.sae.gates.rational import Rational
from rsae.sae.model import SAE
from rsae.training.start import calibrate


@torch.no_grad()
def rational_copy(
    teacher: SAE, data: Sequence[Tensor], fit: Mapping[str, Any], per_feature: bool, tail: bool
) -> tuple[SAE, dict[str, Any]]:
    """Weights copied exactly, gate replaced by ``fit`` and calibrated on ``data``; facts for its card."""
    num, den = (np.array(fit["safe_pade"][k]) for k in ("num", "den"))
    tau = fit["theta"] or 0.0
    gate = calibrate.imitated(teacher, data, tau, per_feature)
    moved = calibrate.calibrate(SafePade(num, den, fit["center"]), calibrate.histogram(teacher, data, gate))
    rational = Rational(moved.form, gate.scale * moved.c_in, gate.scale * moved.c_out, tail)
    copy = teacher.with_gate(rational)
    return copy, {
        "fit_converged": fit["converged"],
        "calibration_rms_before": moved.error_before,
        "calibration_rms_after": moved.error_after,
    }
