"""Probes beside the other numbers of a pair: what the table shows, and what is refused."""

import numpy as np
import pytest

from rsae.evaluate import probe_scores
from rsae.evaluate.per_document import Cell
from rsae.report.stats.cells import Pair, comparisons, rows
from rsae.report.tables import probing

N_DOC = 80


def score(label, k, right_of, right_rest):
    """Three examples of the class and five others in each document; shares of them told right."""
    return probe_scores.Score(
        label, "yes", k, np.full(N_DOC, 3.0), np.full(N_DOC, 3 * right_of),
        np.full(N_DOC, 5.0), np.full(N_DOC, 5 * right_rest),
    )  # fmt: skip


@pytest.fixture
def pair(tmp_path):
    """(pair, file): ``teacher`` is right with 0.8 and 0.6 by label, ``rsae`` with 0.1 less."""
    cells, found = {}, {}
    for arm, less in (("teacher", 0.0), ("teacher_ft", 0.0), ("rsae", 0.1)):
        for support in ("raw", "hard"):
            cell = Cell(arm, 0, support)
            cells[cell] = {"n_tok": np.ones(N_DOC), "active": np.full(N_DOC, 20.0)}
            found[cell] = [
                score(label, k, high - less, 1 - less)
                for label, high in (("owner", 0.6), ("section", 0.2))
                for k in probe_scores.KS
            ]
    found[Cell("residual", 0, "raw")] = [score("owner", k, 0.7, 0.7) for k in (*probe_scores.KS, probe_scores.DENSE)]
    probe_scores.write(tmp_path / "probe.parquet", found)
    return Pair("h", "t", cells, seed=0), tmp_path / "probe.parquet"


def test_differences_are_of_balanced_accuracies_averaged_over_labels(pair):
    whole = probing.joined(pair[0], probing.read(*pair))
    found = {(c.arm, c.metric): c for c in comparisons(whole, metrics=probing.OVERALL) if c.support == "hard"}
    # (0.8 + 0.6) / 2 against 0.1 less of it
    assert found["rsae", "probe_k1"].reference == pytest.approx(0.7)
    assert found["rsae", "probe_k1"].difference == pytest.approx(-0.1)
    assert found["rsae", "probe_k1"].verdict == "loss"
    assert found["teacher_ft", "probe_k5"].verdict == "tie"


def test_every_number_of_a_cell_has_a_row_that_counts_its_examples(pair):
    probed = probing.read(*pair)
    columns = probed.cells[Cell("residual", 0, "raw")]
    table = list(rows("s", probed._replace(cells={Cell("residual", 0, "raw"): columns}), probing.metrics(columns)))
    found = {row["metric"]: row for row in table}
    assert set(found) == {f"probe_{k}{of}" for k in ("k1", "k2", "k5", "all") for of in ("", "_owner")}
    assert found["probe_all_owner"]["value"] == pytest.approx(0.7)
    assert found["probe_all_owner"]["n_tok"] == 8 * N_DOC


def test_the_table_has_the_baselines_and_a_verdict(pair):
    text = probing.table([(pair[0], probing.read(*pair))])
    line = next(line for line in text.splitlines() if line.startswith("| residual"))
    assert [c.strip() for c in line.split("|")[1:4]] == ["residual", "raw", "1"]
    assert line.count("0.700 [0.700, 0.700]") == 4
    loss = next(line for line in text.splitlines() if line.startswith("| rsae ") and "probe_k1 " in line)
    assert [c.strip() for c in loss.split("|")[4:5] + loss.split("|")[7:8]] == ["-0.1000", "loss"]


def test_an_sae_that_was_not_probed_is_named(pair):
    more = pair[0]._replace(cells=pair[0].cells | {Cell("new", 0, "raw"): {"n_tok": np.ones(N_DOC)}})
    with pytest.raises(ValueError, match=r"lacks \('new', 0, 'raw'\); delete it"):
        probing.read(more, pair[1])
