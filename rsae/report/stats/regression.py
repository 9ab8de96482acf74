"""Numbers against the numbers that were reported: which cells moved further than they may?"""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

from rsae.runtime.files import reading, write_json

KEY = ["host", "teacher", "arm", "seed", "support", "metric"]


def moved(cells: Path, expected: Path) -> pd.DataFrame:
    """Rows of ``cells.csv`` that left their tolerance, are missing, or are not expected; empty if none.

    A cell may differ by ``absolute + relative · |expected|`` of its metric's tolerance.

    Raises:
        ValueError: a file is missing or malformed, or a metric's version differs.
    """
    try:
        reference: dict[str, Any] = json.loads(expected.read_text(encoding="utf-8"))
        wanted = pd.DataFrame(reference["cells"], columns=[*KEY, "expected", "metric_version"])
        tolerances = reference["tolerances"]
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{expected}: no readable reference numbers ({error})") from error
    with reading(cells, "make it again"):
        found = pd.read_csv(cells)
        if odd := {*KEY, "value", "metric_version"} - set(found.columns):
            raise ValueError(f"it lacks the columns {', '.join(sorted(odd))}")
    both = found.merge(wanted, on=KEY, how="outer", suffixes=("", "_expected"), indicator=True)
    versions = both[(both._merge == "both") & (both.metric_version != both.metric_version_expected)]
    if len(versions):
        metric = versions.metric.iloc[0]
        raise ValueError(f"{expected}: {metric} is of another version; renew it with `python -m rsae expect`")
    both["allowed"] = [
        tolerances[m]["absolute"] + tolerances[m]["relative"] * abs(e) if m in tolerances else 0.0
        for m, e in zip(both.metric, both.expected, strict=True)
    ]
    both["difference"] = both.value - both.expected
    # NaN fails the comparison, so a missing or superfluous cell counts as moved
    bad = both[~(both.difference.abs() <= both.allowed)]
    return bad.loc[:, [*KEY, "expected", "value", "difference", "allowed"]]


def table(rows: pd.DataFrame) -> str:
    """The cells that moved, as a person reads them."""
    return tabulate(rows.values.tolist(), list(rows.columns), tablefmt="github", floatfmt=".6g", missingval="absent")


def renew(cells: Path, expected: Path) -> None:
    """Make the numbers in ``cells`` the expected ones; tolerances and their reasons stay."""
    reference = json.loads(expected.read_text(encoding="utf-8"))
    frame = pd.read_csv(cells)
    values = frame[[*KEY, "value", "metric_version"]].values.tolist()
    write_json(expected, {**{k: v for k, v in reference.items() if k != "cells"}, "cells": values})
