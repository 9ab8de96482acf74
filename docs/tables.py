"""Numbers of tables in README and docs: ``python docs/tables.py`` fills them in, with ``--check`` it only looks.

A table whose numbers come from rows that are kept in ``expected/`` stands between ``<!-- table: SUITE KIND -->`` and
``<!-- end -->``. Its columns, its rows and its words are written by hand, or were printed by the run: a verdict needs
the sums per document, which are not kept. The number beside it needs no more than means over seeds.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the package is run from a clone

from rsae.report.stats.metrics import COMPARED, METRICS  # noqa: E402
from rsae.report.stats.regression import KEY  # noqa: E402
from rsae.report.stats.verdicts import RELATIVE  # noqa: E402
from rsae.report.tables.standard import effect  # noqa: E402
from rsae.report.tables.writing import plain  # noqa: E402

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BEGIN, END = "<!-- table: ", "<!-- end -->"
MARKED = re.compile(rf"(?<={BEGIN})(?P<marker>[^\n]+)(?P<open> -->\n)(?P<table>(?:\|[^\n]*\n)+)(?={END})")
CHANGE = re.compile(r"[+-]\d+\.\d+%|(?<=\()0(?=\))")  # the latter is no change at all
SHOWN = {"mse": ("mse_sum", ".2f"), "L0": ("l0", ".2f"), "delta CE, nats": ("delta_ce", ".3f")}

Row = Mapping[str, str]  # text of a row's cells, by column


@cache
def means(suite: str) -> dict[tuple[str, ...], float]:
    """Means over seeds, by teacher, arm, codes and metric: of an archived run, or of the expected numbers.

    Raises:
        ValueError: nothing is kept of such a suite.
    """
    archive, expected = ROOT / "expected/archive" / suite, ROOT / "expected/regression" / f"{suite}.json"
    if archive.is_dir():
        tables = [archive / f"{name}.parquet" for name in ("cells", "probing")]
        rows = pd.concat([pd.read_parquet(path) for path in tables if path.is_file()])
    elif expected.is_file():
        rows = pd.DataFrame(json.loads(expected.read_text())["cells"], columns=[*KEY, "value", "metric_version"])
    else:
        raise ValueError(f"no rows of a suite {suite!r} in expected/")
    averaged: Any = rows.groupby(["teacher", "arm", "support", "metric"])["value"].mean()
    return averaged.to_dict()


class Kept:
    """Numbers of one suite or of several: the first that has a number says it."""

    def __init__(self, suites: str) -> None:
        self.suites = suites.split(",")

    def value(self, teacher: str, arm: str, codes: str, metric: str, suite: str | None = None) -> float:
        """A mean over seeds."""
        key = (teacher, arm, codes, metric)
        for name in self.suites if suite is None else [suite]:
            if key in means(name):
                return means(name)[key]
        raise ValueError(f"no rows of {', '.join(key)} in {suite or ', '.join(self.suites)}")

    def change(self, teacher: str, arm: str, baseline: str, codes: str, metric: str) -> tuple[float, float]:
        """Difference from the baseline, and the baseline's own value."""
        reference = self.value(teacher, baseline, codes, metric)
        return self.value(teacher, arm, codes, metric) - reference, reference


# a kind of table: what its rows say by what is kept, in those columns that hold numbers


def strict(kept: Kept, row: Row, baseline: str) -> dict[str, str]:
    """As in strict.md: hard codes, differences in percent where that is their unit."""
    sizes = {m: effect(m, *kept.change(row["teacher"], row["arm"], baseline, "hard", m)) for m in COMPARED}
    return {m: f"{_word(row[m])} ({size})" for m, size in sizes.items()}


def win_loss(kept: Kept, row: Row, baseline: str) -> dict[str, str]:
    """As in win_loss.md: differences in the metrics' units."""
    found = {m: kept.change(row["teacher"], row["arm"], baseline, row["codes"], m)[0] for m in COMPARED}
    return {m: f"{_word(row[m])} ({plain(difference, signed=True)})" for m, difference in found.items()}


def claims(kept: Kept, row: Row, baseline: str) -> dict[str, str]:
    """As in claims.md: a row per metric."""
    metric = row["metric"]
    difference, reference = kept.change(row["teacher"], row["arm"], baseline, row["codes"], metric)
    found = {"baseline": plain(reference), "difference": plain(difference, signed=True)}
    return found | ({"": effect(metric, difference, reference)} if metric in RELATIVE else {})


def measured(kept: Kept, row: Row, teacher: str) -> dict[str, str]:
    """As in reconstruction.md and downstream.md: values, whose intervals stay."""
    found = {m: plain(kept.value(teacher, row["arm"], row["codes"], m)) for m in METRICS if m in row}
    return {m: " ".join([value, *row[m].split(" ")[1:]]) for m, value in found.items()}


def probes(kept: Kept, row: Row, baseline: str) -> dict[str, str]:
    """Differences of balanced accuracy by the number of features, each with its word where it has one."""
    found = {}
    for column in (c for c in row if c.startswith("k = ")):
        metric = f"probe_k{column.removeprefix('k = ')}"
        arm, reference = (kept.value(row["teacher"], a, "hard", metric, row["suite"]) for a in (row["arm"], baseline))
        found[column] = " ".join([f"{arm - reference:+.4f}", *row[column].split(" ")[1:]])
    if any(text.endswith(" loss") for text in found.values()) != (row["features"] == "lost"):
        raise ValueError("features are lost where one of the differences is a loss, and nowhere else")
    return found


def values(kept: Kept, row: Row) -> dict[str, str]:
    """Values themselves, hard codes."""
    return {
        column: format(kept.value(row["teacher"], _first(row["arm"]), "hard", metric), digits)
        for column, (metric, digits) in SHOWN.items()
    }


def changes(kept: Kept, row: Row, baseline: str) -> dict[str, str]:
    """Changes of mse, of delta CE and, in brackets, of l0; a column per teacher, which begins the column's name."""
    found = {}
    for column in list(row)[1:]:
        arm, teacher = _first(row[""]), _first(column).lower()
        texts = (
            effect(m, *kept.change(teacher, arm, baseline, "hard", m)).replace("+0.0%", "0").replace("-0.0%", "0")
            for m in ("mse_sum", "delta_ce", "l0")
        )
        found[column] = CHANGE.sub(lambda _, texts=texts: next(texts), row[column])
    return found


def matched(kept: Kept, row: Row) -> dict[str, str]:
    """Arms against the control at the l0 of one of its points: mse, delta CE."""
    rows: Any = pd.concat([pd.read_parquet(ROOT / f"expected/archive/{s}/matched.parquet") for s in kept.suites])
    at = rows[rows.front.str.endswith(f"/{row['front']}") & (rows.l0.round(1) == float(row["l0 of teacher_ft"]))]
    found = {}
    for column in list(row)[2:]:
        arm = "rsae_l1" if (_first(column), row["front"]) == ("rsae", "jumprelu") else _first(column)
        of = at[at.arm == arm].set_index("metric")
        if not {"mse_sum", "delta_ce"} <= set(of.index):
            raise ValueError(f"no rows of {arm} in front {row['front']} at l0 {row['l0 of teacher_ft']}")
        shown = [of.loc[metric] for metric in ("mse_sum", "delta_ce")]
        texts = [f"{100 * r.difference / r.control:+.1f}%{' (tie)' * (r.verdict == 'tie')}" for r in shown]
        found[column] = "outside" if shown[0].verdict == "outside" else ", ".join(texts)
    return found


KINDS: dict[str, Callable[..., dict[str, str]]] = {
    f.__name__: f for f in (strict, win_loss, claims, measured, probes, values, changes, matched)
}


def _first(words: str) -> str:
    return re.split(r"[ ,:]", words)[0]


def _word(cell: str) -> str:
    return cell.split(" ")[0]


def filled(text: str) -> str:
    """A page with the numbers of its tables as they are kept.

    Raises:
        ValueError: a table is marked that cannot be filled; says which, and why.
    """
    if not text.count(BEGIN) == text.count(END) == len(MARKED.findall(text)):
        raise ValueError(f"`{BEGIN}...-->`, lines of one table, `{END}`: one of these stands without the others")
    return MARKED.sub(lambda found: f"{found['marker']}{found['open']}{_table(**found.groupdict())}", text)


def _table(marker: str, table: str, **_: str) -> str:
    suites, kind, *of = marker.split()
    if kind not in KINDS:
        raise ValueError(f"`{marker}`: no kind of table {kind!r}; there are {', '.join(KINDS)}")
    header, rule, *lines = table.splitlines()
    columns, made = _cells(header), [header, rule]
    for line in lines:
        row = dict(zip(columns, _cells(line), strict=True))
        try:
            new = KINDS[kind](Kept(suites), row, *of)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"`{marker}`: {line}: {error}") from error
        parts = line.split("|")
        for i, column in enumerate(columns, 1):
            if row[column] != new.get(column, row[column]):
                parts[i] = f" {new[column]}".ljust(len(parts[i]) - 1) + " "
        made.append("|".join(parts))
    return "\n".join(made) + "\n"


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("|")[1:-1]]


def differences(before: str, after: str) -> Iterator[str]:
    """Lines that were changed, each below the marker of its table."""
    marker = ""
    for old, new in zip(before.splitlines(), after.splitlines(), strict=True):
        marker = old if old.startswith(BEGIN) else marker
        if old != new:
            yield f"{marker}\n  page: {old}\n  rows: {new}"


def main(check: bool) -> int:
    """Every page; the number of those that differ from what is kept."""
    wrong = 0
    for page in PAGES:
        name, before = page.relative_to(ROOT), page.read_text()
        try:
            after = filled(before)
        except ValueError as error:
            sys.exit(f"{name}: {error}")
        if after != before:
            wrong += 1
            print(*(f"{name}: {said}" for said in differences(before, after)), sep="\n")
            if not check:
                page.write_text(after)
    return wrong if check else 0


if __name__ == "__main__":
    sys.exit("tables differ from expected/; run `python docs/tables.py`" if main("--check" in sys.argv[1:]) else 0)
