"""The source's numbers beside a suite's own."""

from pathlib import Path

from rsae.config.load import load
from rsae.report import reported
from rsae.runtime.files import replacing
from rsae.runtime.seals import untouched


def run(cells: Path, source: Path, out: Path) -> None:
    """Write ``reported.md``."""
    untouched(cells)
    known = load(source, reported.Reported)
    with replacing(out) as temporary:
        temporary.write_text(reported.table(known, reported.compare(known, reported.read(cells))))
