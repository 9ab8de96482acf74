"""A table twice: full precision for programs, four digits for people."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

from rsae.runtime.files import replacing


def write(rows: Sequence[Sequence[Any]], header: Sequence[str], out: Path, name: str, text: str) -> None:
    """``out/name.csv`` and, below ``text``, ``out/name.md``."""
    with replacing(out / f"{name}.csv") as temporary:
        pd.DataFrame(rows, columns=pd.Index(header)).to_csv(temporary, index=False, float_format="%.12g")
    with replacing(out / f"{name}.md") as temporary:
        temporary.write_text(f"{text}\n{markdown(rows, header)}\n", encoding="utf-8")


def markdown(rows: Sequence[Sequence[Any]], header: Sequence[str]) -> str:
    """A GitHub table; numbers to four digits, truth as yes and no, nothing for NaN."""
    return tabulate([[_text(v) for v in row] for row in rows], header, tablefmt="github", disable_numparse=True)


def _text(value: Any) -> str:
    if pd.isna(value):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def plain(value: float, signed: bool = False) -> str:
    """Four significant digits, without an exponent for what people read as plain numbers."""
    if value == 0:
        return "0"
    digits = max(0, 3 - math.floor(math.log10(abs(value))))
    return f"{value:{'+' if signed else ''}.{min(digits, 7)}f}"
