"""A teacher settled into the common form."""

from pathlib import Path

from rsae import teachers
from rsae.shards import Shards
from rsae.stages.common import set_up_torch


def run(teacher: Path, calibration: Path, out: Path, *, kind: str, bandwidth: float) -> None:
    """Load somebody's SAE through its own library, check it, write it in the common form."""
    set_up_torch()
    shards = Shards(calibration)
    sae = teachers.load(teacher, kind, shards.d_in, bandwidth)
    sae.save(out, {"hook_name": shards.manifest["hook"], "arm": "teacher"})
