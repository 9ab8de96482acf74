"""An untuned arm: a copy of the teacher with something of its own, settled on real activations."""

from pathlib import Path

from rsae.arms import Inputs, arms
from rsae.config.types import Kind
from rsae.data.activations.batches import chunks
from rsae.data.activations.shards import Shards
from rsae.runtime.device import set_up_torch
from rsae.runtime.files import read_sealed
from rsae.sae.model import load
from rsae.training.threshold import Threshold


def run(
    teacher: Path,
    fit: Path | None,
    calibration: Path,
    threshold: Path,
    out: Path,
    *,
    arm: str,
    kind: Kind,
    tail: bool,
) -> None:
    """Build ``arm`` from the teacher, settle its support, write it. ``fit`` is the record of its design problem."""
    set_up_torch()
    source, data = load(teacher), Shards(calibration)
    build = arms(kind)[arm].build
    assert build is not None
    record = None if fit is None else read_sealed(fit)
    built, facts = build(source, Inputs(list(chunks(data)), record, tail))
    facts |= Threshold(source, threshold).settle(built)
    built.save(out, {"hook_name": data.manifest["hook"], "arm": arm, **facts})
