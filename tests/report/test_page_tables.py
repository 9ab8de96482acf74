"""Numbers of tables in README and docs are those of the rows in expected/; the tool that says so sees mistakes."""

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = runpy.run_path(str(ROOT / "docs/tables.py"))
filled, PAGES = TOOL["filled"], TOOL["PAGES"]


def lines(page: str, *cells: str) -> list[list[str]]:
    """Rows of tables of a page whose first cells are these."""
    found = [[cell.strip() for cell in line.split("|")[1:-1]] for line in (ROOT / page).read_text().splitlines()]
    return [row for row in found if row[: len(cells)] == list(cells)]


def test_every_number_is_that_of_the_rows():
    done = subprocess.run([sys.executable, "docs/tables.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_table_of_teachers_and_arms_is_filled_in():
    n_filled = 0
    for page in PAGES:
        before: str = ""
        for line in page.read_text().splitlines():
            columns = {cell.strip() for cell in line.split("|")}
            if {"teacher", "arm"} <= columns and "fine-tune of one seed" not in columns:  # seconds are in no row
                assert before.startswith("<!-- table: "), f"{page.name}: {line}"
                n_filled += 1
            before = line
    assert n_filled >= 25


# the same numbers once more, by pandas alone


@pytest.fixture(scope="module")
def mean() -> Any:
    """Mean over seeds on hard codes, by suite, teacher, arm and metric."""

    def of(suite: str, teacher: str, arm: str, metric: str) -> float:
        files = sorted((ROOT / f"expected/archive/{suite}").glob("*.parquet"))
        rows = pd.concat([pd.read_parquet(path) for path in files if path.stem in ("cells", "probing")])
        wanted = (rows.teacher == teacher) & (rows.arm == arm) & (rows.metric == metric) & (rows.support == "hard")
        return rows.value[wanted].mean()

    return of


@pytest.mark.parametrize(
    ("page", "suite", "teacher", "arm"),
    [
        ("docs/results/controls.md", "controls", "relu", "rsae"),
        ("docs/results/controls.md", "controls", "topk", "resolvent"),
        ("docs/results/pruned.md", "pruned", "jumprelu-b", "pruned"),
        ("docs/results/more-arms.md", "more-arms", "relu", "line_search"),
        ("docs/results/more-arms.md", "tuned-arms", "jumprelu", "support_rational"),
        ("docs/teachers.md", "stress", "stress-topk-dead", "pruned_init"),
    ],
)
def test_percentages_are_differences_from_the_control(mean, page, suite, teacher, arm):
    (*_, mse, l0, _, delta_ce, _), *_ = lines(page, suite, teacher, arm)
    for metric, cell in (("mse_sum", mse), ("l0", l0), ("delta_ce", delta_ce)):
        percent = 100 * mean(suite, teacher, arm, metric) / mean(suite, teacher, "teacher_ft", metric) - 100
        assert float(cell.split("(")[1].rstrip("%)")) == pytest.approx(percent, abs=0.0501), metric


def test_claims_are_differences_of_values(mean):
    found = lines("docs/results/controls.md", "gpt2-docs-controls", "topk", "rsae", "hard", "mse_sum")
    assert [row[5] for row in found] == ["9.283", "9.303", "9.283"]  # C2, C2 against the control, C3
    for row, baseline in zip(found, ("teacher", "teacher_ft", "teacher"), strict=True):
        reference = mean("controls", "topk", baseline, "mse_sum")
        assert float(row[5]) == pytest.approx(reference, abs=0.000501)
        assert float(row[6]) == pytest.approx(mean("controls", "topk", "rsae", "mse_sum") - reference, abs=0.000501)


def test_probes_are_differences_from_the_teacher(mean):
    *_, (*_, k1, k2, k5, features) = lines("docs/results/more-arms.md", "more-arms", "relu", "gate_swap")
    for metric, cell in (("probe_k1", k1), ("probe_k2", k2), ("probe_k5", k5)):
        difference = mean("more-arms", "relu", "gate_swap", metric) - mean("more-arms", "relu", "teacher", metric)
        assert float(cell.removesuffix(" loss")) == pytest.approx(difference, abs=0.0000501)
    assert features == "lost"


def test_the_answer_on_the_first_page_is_of_two_suites(mean):
    for arm, suite in (("rsae, the paper's", "controls"), ("pruned, ours", "pruned")):
        ((*_, mse, l0, delta_ce),) = lines("README.md", "jumprelu", arm)
        values = [mean(suite, "jumprelu", arm.split(",")[0], metric) for metric in ("mse_sum", "l0", "delta_ce")]
        assert [float(mse), float(l0)] == pytest.approx(values[:2], abs=0.00501)
        assert float(delta_ce) == pytest.approx(values[2], abs=0.000501)


def test_what_is_matched_is_a_difference_at_one_l0():
    kept = pd.read_parquet(ROOT / "expected/archive/pareto/matched.parquet")
    ((*_, resolvent, _, _),) = lines("docs/pareto.md", "jumprelu", "6.2")
    at = kept[(kept.setting == "jumprelu-6") & (kept.arm == "resolvent_init")].set_index("metric")
    mse, delta_ce = (100 * at.difference[m] / at.control[m] for m in ("mse_sum", "delta_ce"))
    assert resolvent == f"{mse:+.1f}%, {delta_ce:+.1f}% (tie)"
    assert (at.verdict["mse_sum"], at.verdict["delta_ce"]) == ("loss", "tie")


def test_the_first_pages_tables_are_of_the_expected_numbers():
    cells = json.loads((ROOT / "expected/regression/embedded.json").read_text())["cells"]
    of = {
        arm: [c[6] for c in cells if c[1:3] == ["relu", arm] and c[4:6] == ["raw", "mse_sum"]]
        for arm in ("teacher", "rsae")
    }
    teacher, rsae = (sum(values) / len(values) for values in of.values())
    assert [len(values) for values in of.values()] == [1, 3]
    (claim,) = lines("README.md", "gpt2-docs", "relu", "rsae", "raw", "mse_sum")
    assert float(claim[6]) == pytest.approx(rsae - teacher, abs=0.000501)
    measured = lines("README.md", "rsae", "raw", "3")[0]
    assert float(measured[3].split(" ")[0]) == pytest.approx(rsae, abs=0.000501)


# what the tool says of mistakes

TABLE = """
<!-- table: controls strict teacher_ft -->
| host | teacher | arm | mse_sum | l0 | alive | delta_ce | loss_recovered_zero |
|---|---|---|---|---|---|---|---|
| controls | relu | rsae | loss (+48.1%) | tie (+0.8%) | tie (+0.0000) | loss (+57.6%) | loss (-0.0323) |
<!-- end -->
"""


def test_a_number_that_is_not_that_of_the_rows_is_named_with_page_and_table(tmp_path, capsys, monkeypatch):
    assert filled(TABLE) == TABLE
    page = tmp_path / "page.md"
    page.write_text(TABLE.replace("+48.1%", "+47.1%"))
    main = TOOL["main"]
    monkeypatch.setitem(main.__globals__, "PAGES", [page])
    monkeypatch.setitem(main.__globals__, "ROOT", tmp_path)
    (tmp_path / "expected").symlink_to(ROOT / "expected")
    assert main(check=True) == 1
    said = capsys.readouterr().out
    assert said.startswith("page.md: <!-- table: controls strict teacher_ft -->")
    assert "loss (+47.1%)" in said
    assert "loss (+48.1%)" in said
    assert "+47.1%" in page.read_text()
    assert main(check=False) == 0
    assert page.read_text() == TABLE


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("controls strict", "control strict", "no rows of a suite 'control' in expected/"),
        ("strict", "strikt", "no kind of table 'strikt'; there are strict, win_loss"),
        ("| relu | rsae", "| relu | rsea", "no rows of relu, rsea, hard, mse_sum in controls"),
        ("<!-- end -->", "", "one of these stands without the others"),
        ("<!-- table: controls strict teacher_ft -->", "", "one of these stands without the others"),
        ("| host |", "words | host |", "one of these stands without the others"),
    ],
)
def test_a_table_that_cannot_be_filled_in_is_refused(old, new, says):
    assert old in TABLE
    with pytest.raises(ValueError) as caught:
        filled(TABLE.replace(old, new, 1))
    assert says in str(caught.value)
