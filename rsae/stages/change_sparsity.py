"""A teacher settled into the common form, then taken to another sparsity."""

import tempfile
from pathlib import Path
from typing import Any

from rsae.sae import SAE
from rsae.shards import Shards
from rsae.stages import import_teacher
from rsae.stages.common import chunks
from rsae.support import mean_l0
from rsae.upgrade.sparsity import at_l0


def run(calibration: Path, out: Path, *, l0: float, **imported: Any) -> None:
    """``imported`` is what :func:`rsae.stages.import_teacher.run` takes; ``l0`` is met on ``calibration``."""
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "sae"
        import_teacher.run(calibration=calibration, out=whole, **imported)
        teacher = SAE.load(whole)
    data = list(chunks(Shards(calibration)))
    sae = at_l0(teacher, l0, data)
    facts = {"l0_of_the_teacher": mean_l0(teacher, data), "l0": mean_l0(sae, data)}
    print(f"sparsity: {facts}")
    sae.save(out, {"hook_name": imported["hook"], "arm": "teacher", "sparsity": facts})
