"""The source's numbers beside ours, under every convention that could have made them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field
from tabulate import tabulate

from rsae.config.types import Strict

Quantity = Literal["mse", "l0", "alive", "delta_ce", "loss_recovered"]
# how the source may have counted: our metric, and whether codes were raw or cut to their support
METRICS: dict[Quantity, tuple[str, ...]] = {
    "mse": ("mse_sum", "mse_mean", "fvu"),
    "l0": ("l0",),
    "alive": ("alive",),
    "delta_ce": ("delta_ce",),
    "loss_recovered": ("loss_recovered_zero", "loss_recovered_mean"),
}


class ReportedCell(Strict):
    """One number of the source; with ``minus``, the difference of two arms."""

    host: str
    teacher: str
    metric: Quantity
    arm: str
    minus: str | None = None
    value: float
    rounding: Annotated[float, Field(gt=0)]  # unit of the last digit given


class Reported(Strict):
    """``config/reported.yaml``."""

    source: str
    cells: list[ReportedCell]


class Convention(NamedTuple):
    """One way of counting."""

    metric: str
    support: str

    def __str__(self) -> str:
        """As a table shows it."""
        return f"{self.metric} on {self.support} codes"


class Compared(NamedTuple):
    """A reported cell and ours under one convention; all NaN where it was not run."""

    cell: ReportedCell
    convention: Convention | None
    value: float  # mean over seeds
    low: float  # lowest end of the seeds' 95% intervals
    high: float

    @property
    def run(self) -> bool:
        """Whether the cell was measured at all."""
        return not np.isnan(self.value)

    @property
    def holds(self) -> bool:
        """Whether what the source rounded to its number lies within our interval."""
        half = self.cell.rounding / 2
        return self.low <= self.cell.value + half and self.high >= self.cell.value - half


def compare(reported: Reported, cells: pd.DataFrame) -> list[Compared]:
    """Every reported cell under the convention of its quantity that comes closest over all its cells.

    One convention per quantity, not per cell: a source counts in one way. Close is the mean
    relative distance over the cells that were run.
    """
    result: dict[int, Compared] = {}
    for quantity, metrics in METRICS.items():
        members = [(i, c) for i, c in enumerate(reported.cells) if c.metric == quantity]
        tried = [
            [_measured(c, Convention(metric, support), cells) for _, c in members]
            for metric in metrics
            for support in ("raw", "hard")
        ]
        best = min(tried, key=_distance)
        result |= {i: compared for (i, _), compared in zip(members, best, strict=True)}
    return [result[i] for i in sorted(result)]


def _distance(compared: Sequence[Compared]) -> tuple[int, float]:
    """Cells without a measurement come first, then the mean relative distance."""
    apart = [abs(c.value - c.cell.value) / abs(c.cell.value) for c in compared if c.run]
    return len(compared) - len(apart), float(np.mean(apart)) if apart else 0.0


def _measured(cell: ReportedCell, convention: Convention, cells: pd.DataFrame) -> Compared:
    def rows(arm: str) -> pd.DataFrame:
        wanted = {"host": cell.host, "teacher": cell.teacher, "arm": arm, **convention._asdict()}
        return cells.loc[np.logical_and.reduce([cells[k] == v for k, v in wanted.items()]), :]

    own = rows(cell.arm)
    value, low, high = own.value.mean(), own.ci_low.min(), own.ci_high.max()
    if cell.minus is not None:
        other = rows(cell.minus)
        value, low, high = value - other.value.mean(), low - other.ci_high.max(), high - other.ci_low.min()
    if np.isnan(value):
        return Compared(cell, None, *(float("nan"),) * 3)
    return Compared(cell, convention, float(value), float(low), float(high))


def read(path: Path) -> pd.DataFrame:
    """``cells.csv``."""
    return pd.read_csv(path)


def table(reported: Reported, compared: Sequence[Compared]) -> str:
    """``reported.md``: the source's number, ours, the closest convention; "not run" where there is none."""
    rows = []
    for c in compared:
        digits = max(0, -int(np.floor(np.log10(c.cell.rounding))))
        arm = c.cell.arm if c.cell.minus is None else f"{c.cell.arm} - {c.cell.minus}"
        ours = ["not run", "", "", ""]
        if c.run:
            interval = f"[{c.low:.4g}, {c.high:.4g}]"
            ours = [f"{c.value:.4g}", interval, str(c.convention), "yes" if c.holds else "no"]
        rows.append([c.cell.host, c.cell.teacher, c.cell.metric, arm, f"{c.cell.value:.{digits}f}", *ours])
    headers = ["host", "teacher", "quantity", "arm", "reported", "ours", "95% interval", "counted as", "within"]
    n_run = sum(c.run for c in compared)
    return (
        f"# Reported and measured\n\nSource: {reported.source}.\n{n_run} of its {len(compared)} numbers were run.\n\n"
        "Per quantity the one convention is shown that comes closest over all its cells; the source does not say\n"
        "which it used. `within`: the number, as far as it is rounded, lies in our interval (test documents;\n"
        "over seeds the widest ends).\n\n" + tabulate(rows, headers, tablefmt="github", disable_numparse=True) + "\n"
    )
