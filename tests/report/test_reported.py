"""Only what the source says, beside only what was run."""

from pathlib import Path

import pandas as pd
import pytest

from rsae.config.load import load
from rsae.report.tables import paper_numbers
from rsae.report.tables.paper_numbers import Reported, ReportedCell

PAIR = {"host": "h", "teacher": "t", "arm": "rsae"}


def frame(*rows):
    """Rows of (metric, support, value) with an interval of ± 0.01, for one seed."""
    columns = [{**PAIR, "seed": 0, "metric": m, "support": s, "value": v} for m, s, v in rows]
    return pd.DataFrame([r | {"ci_low": r["value"] - 0.01, "ci_high": r["value"] + 0.01} for r in columns])


def one(value, rounding=0.001, **change):
    return Reported(
        source="s", cells=[ReportedCell(**{**PAIR, "metric": "mse", "value": value, "rounding": rounding, **change})]
    )


MEASURED = frame(("mse_sum", "raw", 64.0), ("mse_mean", "raw", 0.5), ("mse_mean", "hard", 0.6), ("fvu", "raw", 0.1))


def test_the_closest_convention_is_named():
    (cell,) = paper_numbers.compare(one(0.597), MEASURED)
    assert str(cell.convention) == "mse_mean on hard codes"
    assert cell.holds
    (cell,) = paper_numbers.compare(one(0.45), MEASURED)
    assert str(cell.convention) == "mse_mean on raw codes"
    assert not cell.holds


def test_one_convention_serves_all_cells_of_a_quantity():
    # alone, 0.62 would be closest to the hard codes' 0.6
    three = Reported(source="s", cells=[*one(0.4).cells, *one(0.5).cells, *one(0.62).cells])
    assert {str(c.convention) for c in paper_numbers.compare(three, MEASURED)} == {"mse_mean on raw codes"}


@pytest.mark.parametrize(
    ("value", "rounding", "holds"), [(0.514, 0.01, True), (0.514, 0.001, False), (0.51, 0.001, True)]
)
def test_the_rounding_of_the_source_decides(value, rounding, holds):
    # ours is 0.5 in [0.49, 0.51]; 0.514 rounded to 0.01 may have been 0.509
    (cell,) = paper_numbers.compare(one(value, rounding), frame(("mse_mean", "raw", 0.5)))
    assert cell.holds == holds


def test_what_was_not_run_says_so_and_shows_no_number():
    (cell,) = paper_numbers.compare(one(0.597, arm="teacher"), MEASURED)
    assert not cell.run
    text = paper_numbers.table(one(0.597), [cell])
    assert "not run" in text
    assert "0 of its 1 numbers" in text


def test_seeds_are_averaged_and_differences_taken():
    cells = frame(("l0", "raw", 30.0))
    cells = pd.concat([cells, cells.assign(seed=1, value=32.0), cells.assign(arm="teacher", value=29.5)])
    (cell,) = paper_numbers.compare(one(1.6, 0.1, metric="l0", minus="teacher"), cells)
    assert cell.value == pytest.approx(1.5)


def test_the_committed_numbers_are_those_of_the_source():
    """Against the table of the source as typed a second time, teacher / init / upgraded."""
    table = """
    gpt2-small/relu mse 0.597 0.597 0.530
    pythia-160m/jumprelu mse 0.268 0.268 0.0320
    gemma-2-2b/jumprelu mse 3.8397 3.8230 1.7887
    pythia-160m/topk mse 0.0299 0.0316 0.0273
    pythia-160m/relu alive 0.729 0.729 0.745
    gpt2-small/relu delta_ce 0.180 - 0.123
    gemma-2-2b/jumprelu delta_ce 0.682 - 0.118
    gpt2-small/topk delta_ce 0.136 - 0.092
    gpt2-small/relu loss_recovered 0.9717 - 0.9807
    gemma-2-2b/jumprelu loss_recovered 0.8886 - 0.9810
    gpt2-small/topk loss_recovered 0.9789 - 0.9855
    """
    wanted: set[tuple] = {("gpt2-small", "relu", "l0", "rsae", 1.6, 0.1)}
    for line in table.strip().splitlines():
        pair, metric, *values = line.split()
        for arm, value in zip(("teacher", "rsae_init", "rsae"), values, strict=True):
            if value != "-":
                wanted.add((*pair.split("/"), metric, arm, float(value), 10.0 ** -len(value.split(".")[1])))
    known = load(Path("config/reported.yaml"), Reported)
    found = {(c.host, c.teacher, c.metric, c.arm, c.value, c.rounding) for c in known.cells}
    assert found == wanted
    assert [c.minus for c in known.cells if c.metric == "l0"] == ["teacher"]
