"""The numbers of controls, pruned and pareto in docs/, and of the README, are those of the rows that were kept."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rsae.report.tables import archive

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/controls.md").read_text()


def rows(first: str, page: str = PAGE) -> list[dict[str, str]]:
    """Cells of every table whose header begins with the columns ``first``, by column."""
    found = []
    for table in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        lines = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()]
        if " ".join(lines[0]).startswith(first):
            found += [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]
    return found


def means_of(suite: str) -> Any:
    """Means over seeds."""
    files = [ROOT / f"expected/archive/{suite}/{name}.parquet" for name in ("cells", "probing")]
    cells = pd.concat([pd.read_parquet(path) for path in files if path.is_file()])
    return cells.groupby(["teacher", "arm", "support", "metric"])["value"].mean()


@pytest.fixture(scope="module")
def means():
    return means_of("controls")


# what a claim compares with is named by its heading; its rows do not say it
BASELINES = {
    "C2, against the teacher that got the same fine-tune": "teacher_ft",
    "Ours. The resolvent beats the teacher that got the same fine-tune, with no more features": "teacher_ft",
}


def test_claims_are_differences_of_rows(means):
    seen = 0
    for part in PAGE.split("\n### ")[1:]:
        title = part.splitlines()[0]
        for line in re.findall(r"^\| gpt2-docs-controls .*$", part, re.MULTILINE):
            _, teacher, arm, codes, *numbers = (c.strip() for c in line.strip("|").split("|"))
            if codes not in ("raw", "hard"):
                continue  # costs
            metric, baseline, difference, *_ = numbers
            reference = means[teacher, BASELINES.get(title, "teacher"), codes, metric]
            value = means[teacher, arm, codes, metric]
            assert float(baseline) == pytest.approx(reference, rel=6e-4)  # four digits
            assert float(difference) == pytest.approx(value - reference, rel=6e-4, abs=1e-7), (title, line)
            seen += 1
    assert seen > 50


@pytest.mark.parametrize(
    ("suite", "page", "n"),
    [
        ("controls", "controls", 34),
        ("pruned", "pruned", 24),
        ("more-arms", "more-arms", 37),
        ("tuned-arms", "more-arms", 16),
        ("stress", "teachers", 18),
    ],
)
def test_what_is_left_are_differences_of_rows(suite, page, n):
    means, tables = means_of(suite), rows("host teacher arm mse_sum", (ROOT / f"docs/{page}.md").read_text())
    found = [row for row in tables if row["host"] == suite]
    assert len(found) == n
    for row in found:
        for metric in ("mse_sum", "l0", "delta_ce"):
            value, reference = (means[row["teacher"], a, "hard", metric] for a in (row["arm"], "teacher_ft"))
            (percent,) = re.findall(r"\(([-+][\d.]+)%\)", row[metric])
            assert float(percent) == pytest.approx(100 * (value / reference - 1), abs=0.0501), row


def test_probes_on_the_page_are_differences_of_rows():
    found, of = rows("suite teacher arm k = 1", (ROOT / "docs/more-arms.md").read_text()), {}
    assert len(found) == 80
    for row in found:
        means = of.setdefault(row["suite"], means_of(row["suite"]))
        for k in (1, 2, 5):
            value, reference = (means[row["teacher"], arm, "hard", f"probe_k{k}"] for arm in (row["arm"], "teacher"))
            assert float(row[f"k = {k}"].split()[0]) == pytest.approx(value - reference, abs=0.0000501), row
        lost = any("loss" in row[f"k = {k}"] for k in (1, 2, 5))
        assert (row["features"] == "lost") == lost


def test_what_is_matched_on_the_page_are_rows():
    kept: Any = pd.read_parquet(ROOT / "expected/archive/pareto/matched.parquet")
    found = rows("front l0 of teacher_ft", (ROOT / "docs/pareto.md").read_text())
    assert len(found) == 15
    for row in found:
        here = kept[
            kept.front.str.endswith("/" + row["front"])
            & np.isclose(kept.l0, float(row["l0 of teacher_ft"]), atol=0.051)
        ]
        paper = "rsae_l1" if row["front"] == "jumprelu" else "rsae"
        for column, text in row.items():
            arm = paper if column.startswith("rsae") else column
            if arm not in set(kept.arm):
                continue
            of = here[here.arm == arm].set_index("metric")
            assert len(of) == 3
            if text == "outside":
                assert of.loc["mse_sum", "verdict"] == "outside"
                continue
            for metric, cell in zip(("mse_sum", "delta_ce"), text.split(", "), strict=True):
                percent, _, mark = cell.partition("% ")
                wanted = 100 * of.loc[metric, "difference"] / of.loc[metric, "control"]
                assert float(percent.rstrip("%")) == pytest.approx(wanted, abs=0.0501), (row, arm)
                word = "tie" if mark else "win" if wanted < 0 else "loss"
                assert of.loc[metric, "verdict"] == word, (row, arm)


def test_the_answer_on_the_first_page_are_rows():
    found, of = rows("teacher arm mse L0 delta CE", (ROOT / "README.md").read_text()), {}
    assert len(found) == 15
    for row in found:
        arm = row["arm"].split(",")[0]
        suite = "pruned" if arm.startswith("pruned") else "controls"
        means = of.setdefault(suite, means_of(suite))
        for column, metric, digits in (("mse", "mse_sum", 2), ("L0", "l0", 2), ("delta CE, nats", "delta_ce", 3)):
            value = means[row["teacher"], arm, "hard", metric]
            assert float(row[column]) == pytest.approx(value, abs=0.501 * 10**-digits), row


def test_what_is_kept_is_what_was_there(tmp_path):
    tables = tmp_path / "tables"
    tables.mkdir()
    frame = pd.DataFrame({"arm": ["rsae", "teacher"], "value": [0.1234567890123, 2.0]})
    frame.to_csv(tables / "cells.csv", index=False)
    (tmp_path / "run-card.json").write_text('{"commit": "abc"}')
    (tmp_path / "tuning.json").write_text('{"chosen": 1}')
    out = tmp_path / "out"
    out.mkdir()
    (out / "older.parquet").write_text("")
    archive.write([tables / "cells.csv"], tmp_path / "run-card.json", {"h/t/rsae": tmp_path / "tuning.json"}, out)
    assert {p.name for p in out.iterdir()} == {"cells.parquet", "run-card.json", "tuning.json"}
    pd.testing.assert_frame_equal(pd.read_parquet(out / "cells.parquet"), frame)
    assert json.loads((out / "tuning.json").read_text()) == {"h/t/rsae": {"chosen": 1}}
