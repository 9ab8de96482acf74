"""A copy of a teacher that carries a calibrated rational gate."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rsae.gates.rational import Rational
from rsae.rational.safe_pade import SafePade
from rsae.sae import SAE
from rsae.shards import Shards
from rsae.stages.common import chunks, set_up_torch, settle_support
from rsae.upgrade import calibrate


@torch.no_grad()
def run(
    teacher: Path,
    fit: Path,
    calibration: Path,
    threshold: Path,
    out: Path,
    *,
    arm: str,
    per_feature: bool,
    tail: bool,
) -> None:
    """Copy the teacher exactly, replace its gate by the fit, calibrate the gate, settle its support."""
    set_up_torch()
    source = SAE.load(teacher)
    record: dict[str, Any] = json.loads(fit.read_text())
    num, den = (np.array(record["safe_pade"][k]) for k in ("num", "den"))
    tau = record["theta"] or 0.0
    data = list(chunks(Shards(calibration)))
    gate = calibrate.imitated(source, data, tau, per_feature)
    moved = calibrate.calibrate(SafePade(num, den, record["center"]), calibrate.histogram(source, data, gate))
    rational = Rational(moved.form, gate.scale * moved.c_in, gate.scale * moved.c_out, tail)
    copy = source.with_gate(rational)
    settle_support(copy, source, threshold)
    outside = float(np.mean([rational.outside(copy.preactivations(x)) for x in data]))
    copy.save(
        out,
        {
            "hook_name": Shards(calibration).manifest["hook"],
            "arm": arm,
            "fit_converged": record["converged"],
            "calibration_rms_before": moved.error_before,
            "calibration_rms_after": moved.error_after,
            "share_outside_design_interval": outside,
        },
    )
