"""Probes on a labelled text: a class that one token gives away is found, one that nothing gives away is not."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rsae.config.sources import FileText, HubText
from rsae.data.text import datasets
from rsae.evaluate import probe_scores
from rsae.evaluate.per_document import Cell
from rsae.plan import load_plans
from rsae.plan.inputs import load_text
from rsae.report.stats.cells import Pair
from rsae.report.tables import probing
from rsae.stages.evaluation import probe_text
from rsae.stages.inputs import text

TEACHER = Path("assets/embedded/teachers/topk")
WORDS = "array value number function returns given string matrix index shape type object".split()
RUN = {"hook": "blocks.1.hook_resid_post", "center_writing_weights": False, "ctx": 32, "bos": True, "seed": 0}


def labelled(folder: Path, told: bool) -> Path:
    """Sentences of one vocabulary; where the class is told, one of the two speaks in digits."""
    rng = np.random.default_rng(0)
    lines = []
    for i in range(400):
        label = ["prose", "sums"][i % 2]
        words = [str(n) for n in rng.integers(1000, size=12)] if told and label == "sums" else rng.choice(WORDS, 12)
        lines.append(json.dumps({"body": f"{i} " + " ".join(words), "kind": label}))
    source = folder / "rows.jsonl"
    source.write_text("\n".join(lines))
    shares = {"test": 0.4, "finetune": 0.6}
    text.run(
        folder / "text", source="files", shares=shares, splits=list(shares), path=source, column="body", per="line",
        documents=None, label="kind", classes=None,
    )  # fmt: skip
    return folder / "text"


def probed(folder: Path, told: bool, **changes) -> dict[Cell, list[probe_scores.Score]]:
    documents = labelled(folder, told)
    saes = {("teacher", 0): TEACHER, ("teacher_ft", 0): TEACHER}
    probe_text.run(
        documents / "finetune.jsonl", documents / "test.jsonl", Path("assets/embedded/host"), saes,
        folder / "probe.parquet", name="kinds", most=1000, **RUN | changes,
    )  # fmt: skip
    return probe_scores.read(folder / "probe.parquet")


def balanced_accuracy(score: probe_scores.Score) -> float:
    return float(score.right_of.sum() / score.n_of.sum() + score.right_rest.sum() / score.n_rest.sum()) / 2


def test_a_class_that_tokens_give_away_is_found_and_one_that_nothing_does_is_not(tmp_path):
    found = {}
    for told in (True, False):
        (tmp_path / str(told)).mkdir()
        cells = probed(tmp_path / str(told), told)
        both = {Cell(arm, 0, support) for arm in ("teacher", "teacher_ft") for support in ("raw", "hard")}
        assert set(cells) == both | {Cell("residual", 0, "raw"), Cell("random", 0, "hard")}
        first = cells[Cell("teacher", 0, "hard")][0]
        assert {s.positive for s in cells[Cell("teacher", 0, "hard")]} == {"prose", "sums"}
        found[told] = {s.k: balanced_accuracy(s) for s in cells[Cell("teacher", 0, "hard")] if s.positive == "sums"}
        assert first.label == "kinds"
        # each document once: about two fifths of 400 are judged
        assert 120 < first.n_of.sum() + first.n_rest.sum() < 200
    assert found[True][1] > 0.98
    # tabled as the suite's own probes are, though nothing else was measured on these documents
    pair = Pair("h", "t", {cell: {} for cell in both}, seed=0)
    page = probing.table([(pair, probing.read(pair, tmp_path / "False/probe.parquet", "kinds"))], "kinds")
    mean = np.mean(
        [balanced_accuracy(s) for s in cells[Cell("teacher", 0, "hard")] if s.k == 1]
    )  # over the two classes
    assert f"| teacher    | hard    | 1       | {mean:.3f} [" in page
    assert page.count("| tie") == 3  # k = 1, 2, 5: the control is the teacher once more
    # 160 coin flips: half, give or take four standard errors
    assert abs(found[False][1] - 0.5) < 4 * 0.5 / 160**0.5


def test_a_text_without_labels_is_refused(tmp_path):
    path = tmp_path / "plain.jsonl"
    path.write_text(json.dumps({"name": "a", "text": "some words"}) + "\n")
    with pytest.raises(ValueError, match=r"without a label; set `label` in config/text/kinds\.yaml"):
        probe_text.run(
            path, path, Path("assets/embedded/host"), {("teacher", 0): TEACHER}, tmp_path / "out", name="kinds", most=9,
            **RUN,
        )  # fmt: skip
    with pytest.raises(ValueError, match=r"no column 'mood'; it has body, kind; set `label`"):
        labelled(tmp_path, True)
        text.run(
            tmp_path / "again", source="files", shares={"test": 1.0}, splits=["test"], path=tmp_path / "rows.jsonl",
            column="body", per="line", documents=None, label="mood", classes=None,
        )  # fmt: skip


@pytest.mark.parametrize("missing", [None, float("nan"), ""])
def test_a_row_without_its_label_is_named(missing):
    rows = [{"body": "some words", "kind": "prose"}, {"body": "more words", "kind": missing}]
    with pytest.raises(ValueError, match=r"the text: row 1 has no value in the column 'kind'"):
        list(datasets._documents(((f"row {i}", r) for i, r in enumerate(rows)), "body", "kind", "t", "the text"))


def test_classes_come_in_equal_shares_from_a_text_that_is_sorted_by_them(tmp_path):
    path = tmp_path / "rows.jsonl"
    stars = [5.0] * 40 + [3.0] * 40 + [1.0] * 40  # numbers: a class is what they read as
    path.write_text("".join(json.dumps({"body": f"review {i}", "stars": s}) + "\n" for i, s in enumerate(stars)))

    def found(limit, classes):
        return [(d.text, d.label) for d in datasets.from_files(path, "body", "line", limit, "stars", classes)]

    seven = [*range(4), *range(80, 83)]
    assert found(7, ["1.0", "5.0"]) == [(f"review {i}", str(stars[i])) for i in seven]
    assert len(found(None, ["1.0", "3.0"])) == 80
    assert len(found(300, ["1.0", "3.0"])) == 80  # fewer than were asked for
    with pytest.raises(ValueError, match="has no document of class 2, 4; correct `classes`"):
        found(None, ["2", "5.0", "4"])
    with open(path, "a") as file:
        file.write(json.dumps({"body": "nobody says", "stars": None}) + "\n")
    assert len(found(None, ["1.0", "3.0"])) == 80  # a row without a label is of no class
    with pytest.raises(ValueError, match="line 121 has no value in the column 'stars'"):
        found(None, None)


def test_the_classes_that_saebench_probes_are_there():
    """Its sets, without the one that a script reads (docs/probing.md)."""
    sets: dict[str, Any] = {name: load_text(name) for name in ("ag_news", *(f"bias_in_bios_{i}" for i in (1, 2, 3)))}
    sets |= {name: load_text(f"amazon_{name}") for name in ("categories", "sentiment")}
    assert all(isinstance(text, HubText) for text in sets.values())
    classes = {name: text.classes for name, text in sets.items()}
    assert classes == {
        "ag_news": None,  # it has four, and all are probed
        "bias_in_bios_1": ["0", "1", "2", "6", "9"],
        "bias_in_bios_2": ["11", "13", "14", "18", "19"],
        "bias_in_bios_3": ["20", "21", "22", "25", "26"],
        "categories": ["1", "2", "3", "5", "6"],
        "sentiment": ["1.0", "5.0"],
    }
    europarl: Any = load_text("europarl")
    languages = {"en": "en-fr", "fr": "fr-it", "de": "de-en", "es": "es-fr", "nl": "nl-pt"}
    parts = {name: (part.subset, part.column) for name, part in europarl.parts.items()}
    assert parts == {name: (subset, f"translation.{name}") for name, subset in languages.items()}
    columns = {name: (text.column, text.label) for name, text in sets.items()}
    assert columns["bias_in_bios_1"] == columns["bias_in_bios_3"] == ("hard_text", "profession")
    assert (columns["categories"], columns["sentiment"]) == (("text", "category"), ("text", "rating"))
    with pytest.raises(ValueError, match="say which in `label`"):
        FileText(source="files", path=Path("x"), classes=["a", "b"])


def test_a_suite_asks_for_it_by_name(tmp_path):
    suites = tmp_path / "suites"
    suites.mkdir()
    quick = Path("config/suites/quick.yaml").read_text()
    (suites / "mine.yaml").write_text("probed_texts: [ag_news, pile]\n" + quick)
    plan = load_plans(suites)["mine"]
    host, teacher = plan.pairs()[0]
    job = plan.probe_text(host, teacher, "ag_news")
    assert job.arguments["out"] == Path(f"results/mine/{host}/{teacher}/probe_ag_news.parquet")
    assert Path("results/mine/text/ag_news/test.jsonl") in job.inputs
    assert plan.text("ag_news").settings["label"] == "label"
    wanted = {Path(f"results/mine/tables/probing_ag_news.{kind}") for kind in ("csv", "md")}
    assert wanted <= set(plan.extra_tables())
    with pytest.raises(ValueError, match="no text 'other' in this suite; there are ag_news, pile"):
        plan.probe_text(host, teacher, "other")
    assert job.arguments["out"] in plan.tabulate_probing("ag_news").inputs
    with pytest.raises(ValueError, match=r"'pile' is probed and has no labels; set `label` in config/text/pile\.yaml"):
        plan.probe_text(host, teacher, "pile")
