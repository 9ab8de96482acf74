"""A teacher settled into the common form."""

from pathlib import Path

import torch

from rsae import teachers
from rsae.shards import Shards


def run(teacher: Path, calibration: Path, out: Path, *, kind: str, bandwidth: float) -> None:
    """Load somebody's SAE through its own library, check it, write it in the common form."""
    torch.set_num_threads(1)
    shards = Shards(calibration)
    sae = teachers.load(teacher, kind, shards.d_in, bandwidth)
    sae.save(out, {"hook_name": shards.manifest["hook"], "arm": "teacher"})
