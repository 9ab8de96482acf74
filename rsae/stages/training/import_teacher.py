"""A teacher, whatever its files look like, settled into the common form."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rsae.config.layouts import Layout
from rsae.config.types import Kind
from rsae.data.activations.shards import Shards
from rsae.data.hub.receipts import teacher_files
from rsae.sae import loading
from rsae.sae.model import SAE


def run(teacher: Path, calibration: Path, out: Path, *, hook: str, **stated: Any) -> None:
    """Write somebody's SAE in the common form; arguments and errors are those of :func:`settled`."""
    settled(teacher, calibration, hook=hook, **stated).save(out, {"hook_name": hook, "arm": "teacher"})


def settled(
    teacher: Path,
    calibration: Path,
    *,
    hook: str,
    kind: Kind,
    bandwidth: float,
    layout: Layout | None,
    stated: Mapping[str, Any],
) -> SAE:
    """The SAE in ``teacher``, a folder, a checkpoint or a receipt; ``calibration`` says how wide its site is.

    Raises:
        ValueError: it cannot be loaded, is of another kind or width, or was trained at another site.
    """
    files = teacher_files(teacher, layout)
    return loading.load(files.path, kind, Shards(calibration).d_in, bandwidth, files.layout, stated, hook)
