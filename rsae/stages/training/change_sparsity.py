"""A teacher settled into the common form, then taken to another sparsity."""

from pathlib import Path
from typing import Any

from rsae.data.activations.batches import chunks
from rsae.data.activations.shards import Shards
from rsae.runtime.device import device, set_up_torch
from rsae.sae.support import mean_l0
from rsae.stages.training.import_teacher import settled
from rsae.training.start.sparsity import at_l0


def run(teacher: Path, calibration: Path, out: Path, *, l0: float, hook: str, **stated: Any) -> None:
    """``l0`` is met on ``calibration``; the other arguments are those of :func:`settled`."""
    set_up_torch()
    given, data = settled(teacher, calibration, hook=hook, **stated).to(device()), list(chunks(Shards(calibration)))
    sae = at_l0(given, l0, data)
    facts = {"l0_of_the_teacher": mean_l0(given, data), "l0": mean_l0(sae, data)}
    print(f"sparsity: {facts}")
    sae.save(out, {"hook_name": hook, "arm": "teacher", "sparsity": facts})
