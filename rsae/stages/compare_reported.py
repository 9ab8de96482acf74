"""The source's numbers beside a suite's own."""

from pathlib import Path

from rsae import config
from rsae.digests import untouched
from rsae.files import replacing
from rsae.report import reported


def run(cells: Path, source: Path, out: Path) -> None:
    """Write ``reported.md``."""
    untouched(cells)
    known = config.load(source, reported.Reported)
    with replacing(out) as temporary:
        temporary.write_text(reported.table(known, reported.compare(known, reported.read(cells))))
