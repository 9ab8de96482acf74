"""Every table of the page as CSV and as LaTeX, one file each."""

import csv
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tabulate import tabulate

from rsae.report.page.markdown import Block, Table


def write(documents: Iterable[tuple[str, list[Block]]], out: Path) -> list[str]:
    """``out/{document}-{n}-{heading}.csv`` and ``.tex``; the names without their endings."""
    names = []
    for name, table in _named(documents):
        rows = [[cell.text for cell in row] for row in table.rows]
        with open(out / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([table.header, *rows])
        body = tabulate(rows, table.header, tablefmt="latex_booktabs", disable_numparse=True)
        (out / f"{name}.tex").write_text(
            f"% {table.under}; needs \\usepackage{{booktabs}}\n{_latex(body)}\n", encoding="utf-8"
        )
        names.append(name)
    return names


def _named(documents: Iterable[tuple[str, list[Block]]]) -> Iterator[tuple[str, Table]]:
    for document, blocks in documents:
        for n, table in enumerate(b for b in blocks if isinstance(b, Table)):
            slug = re.sub(r"\W+", "-", table.under.lower()).strip("-")[:48].rstrip("-")
            yield f"{document}-{n + 1}-{slug}", table


def _latex(text: str) -> str:
    """What pdflatex has no letter for."""
    return text.replace("²", "$^2$").replace("λ", "$\\lambda$").replace("·", "$\\cdot$").replace("≤", "$\\le$")
