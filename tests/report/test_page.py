"""The page shows what the tables say, all of it, and needs nothing beside it."""

import csv
import re
import shutil
from html.parser import HTMLParser

import pytest

from rsae.report.page import exports, markdown, overview, render
from rsae.runtime import fingerprint

CLAIMS = """# Claims

What counts.

## C1. The copy <equals> its teacher

**Holds on h/relu; fails on h/topk.**

| host   | teacher   | metric   |   difference | verdict |
|--------|-----------|----------|--------------|---------|
| h      | relu      | mse_sum  |       -0.5   | win     |
| h      | topk      | mse_sum  |       +1.25  | paid    |

## C9. Another

Not run in this suite.
"""


@pytest.fixture
def claims(tmp_path):
    (tmp_path / "claims.md").write_text(CLAIMS)
    return markdown.read(tmp_path / "claims.md")


def page(documents, **changes):
    given = {
        "suite": "s", "documents": documents, "pictures": {}, "views": {}, "not_run": {}, "exports": [],
        "run_card": {"commit": "0" * 40, "device": "CPU", "rules": {}, "versions": {"torch": "2"}},
    }  # fmt: skip
    return render(**(given | changes))


def test_documents_are_taken_apart(claims):
    kinds = [type(block).__name__ for block in claims]
    assert kinds == ["Heading", "Prose", "Heading", "Prose", "Table", "Heading", "Prose"]
    table = claims[4]
    assert table.under.startswith("C1.")
    assert table.header == ["host", "teacher", "metric", "difference", "verdict"]
    assert [row[3].key for row in table.rows] == [-0.5, 1.25]
    assert [row[4].word for row in table.rows] == ["win", "paid"]


@pytest.mark.parametrize(
    ("text", "key", "word"),
    [
        ("win* (-0.31)", "win* (-0.31)", "win*"),
        ("loss (+44.1%)", "loss (+44.1%)", "loss"),
        ("14.60 [14.37, 14.84]", 14.6, ""),
        ("< 0.0001", 0.0001, ""),
        ("+1.5e-03", 0.0015, ""),
        ("tied", "tied", ""),
        ("not run", "not run", "not run"),
        ("", "", ""),
    ],
)
def test_cells_sort_by_their_number_and_know_their_verdict(text, key, word):
    assert markdown.cell(text) == markdown.TableCell(text, key, word)


def test_the_overview_has_a_row_per_claim_and_a_word_per_pair(claims):
    first, second = overview(claims)
    assert first.words == {"h/relu": [("mse_sum", "win")], "h/topk": [("mse_sum", "paid")]}
    assert "fails on h/topk" in first.said
    assert second.words == {}
    assert "Not run" in second.said


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.addresses, self.cells, self.ids, self.open = [], [], [], ""

    def handle_starttag(self, tag, attrs):
        self.open = tag
        self.addresses += [(tag, v) for k, v in attrs if k in ("src", "href")]
        self.ids += [v for k, v in attrs if k == "id"]

    def handle_data(self, data):
        if self.open == "td":
            self.cells.append(data)


def test_every_cell_is_on_the_page_and_nothing_is_fetched(claims):
    html = page([("claims", claims)], not_run={"gemma/relu": "gated <set a token>"})
    reader = Reader()
    reader.feed(html)
    for text in ("mse_sum", "-0.5", "+1.25", "gemma/relu", "gated <set a token>"):
        assert text in reader.cells
    outside = [a for tag, a in reader.addresses if tag != "a" and not a.startswith("data:")]
    assert outside == []
    assert not re.search(r"https?://(?!www\.w3\.org)", html)
    inside = {a[1:] for tag, a in reader.addresses if a.startswith("#")}
    assert inside <= set(reader.ids)
    assert len(set(reader.ids)) == len(reader.ids)
    assert "C1. The copy &lt;equals&gt; its teacher" in html


def test_text_of_a_corpus_cannot_leave_its_script():
    html = page([], views={"h/t": {"rsae": [{"words": ["</script><b>"]}]}})
    assert "</script><b>" not in html


def test_tables_go_out_as_csv_and_latex(claims, tmp_path):
    (name,) = exports.write([("claims", claims)], tmp_path)
    with open(tmp_path / f"{name}.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["host", "teacher", "metric", "difference", "verdict"]
    assert rows[2] == ["h", "topk", "mse_sum", "+1.25", "paid"]
    tex = (tmp_path / f"{name}.tex").read_text()
    assert "\\toprule" in tex
    assert "mse\\_sum" in tex


def test_another_style_is_another_page_to_snakemake(tmp_path, monkeypatch):
    shutil.copytree(fingerprint.PACKAGE, tmp_path / "rsae", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(fingerprint, "PACKAGE", tmp_path / "rsae")

    def digests() -> list[str]:
        fingerprint.code_digest.cache_clear()
        return [fingerprint.code_digest(f"rsae.stages.{stage}") for stage in ("tables.report", "tables.tables")]

    before = digests()
    with open(tmp_path / "rsae/report/page/style.css", "a") as file:
        file.write("body { color: red }")
    after = digests()
    fingerprint.code_digest.cache_clear()
    assert after[0] != before[0]
    assert after[1] == before[1]
