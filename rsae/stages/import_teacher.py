"""A teacher, whatever its files look like, settled into the common form."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rsae import teachers
from rsae.arms import Kind
from rsae.receipts import checkpoint
from rsae.shards import Shards
from rsae.sources import Layout


def run(
    teacher: Path,
    calibration: Path,
    out: Path,
    *,
    hook: str,
    kind: Kind,
    bandwidth: float,
    layout: Layout | None,
    stated: Mapping[str, Any],
) -> None:
    """Load somebody's SAE and write it in the common form; ``calibration`` says how wide its site is.

    Raises:
        ValueError: it cannot be loaded, is of another kind or width, or was trained at another site.
    """
    files, d_in = checkpoint(teacher, layout), Shards(calibration).d_in
    sae = teachers.load(files.path, kind, d_in, bandwidth, files.layout, stated, hook)
    sae.save(out, {"hook_name": hook, "arm": "teacher"})
