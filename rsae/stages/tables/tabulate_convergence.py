"""Whether further training helps the teachers of a suite: ``convergence.md``."""

from collections.abc import Mapping
from pathlib import Path

from rsae.report.tables import convergence
from rsae.runtime.files import read_sealed, replacing


def run(trials: Mapping[str, Path], out: Path) -> None:
    """``trials`` maps HOST/TEACHER to the trials of its control."""
    text = convergence.table({name: read_sealed(path) for name, path in trials.items()})
    with replacing(out / "convergence.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
