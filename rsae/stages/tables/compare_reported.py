"""The source's numbers beside a suite's own."""

from pathlib import Path

from rsae.config.load import load
from rsae.report.tables import paper_numbers
from rsae.runtime.files import replacing
from rsae.runtime.seals import untouched


def run(cells: Path, source: Path, out: Path) -> None:
    """Write ``reported.md``."""
    untouched(cells)
    known = load(source, paper_numbers.Reported)
    with replacing(out) as temporary:
        temporary.write_text(
            paper_numbers.table(known, paper_numbers.compare(known, paper_numbers.read(cells))), encoding="utf-8"
        )
