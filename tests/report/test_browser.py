"""The page in a real browser: no errors, tables sort and filter, every figure drawn, the features' view works."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from rsae.report.page import Picture, markdown, render
from tests.report.test_stage import root

__all__ = ["root"]  # a fixture: the tiny suite's page

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine; on Debian: apt-get install chromium"),
]
ROOT = Path(__file__).resolve().parents[2]
# what a person would do; its outcome replaces the page's title, which the browser prints with the page
ACTS = """
<script>
window.problems = [];
window.addEventListener("error", (e) => window.problems.push(String(e.message)));
window.addEventListener("load", () => {
  const table = [...document.querySelectorAll("table.data")].find((t) => t.tBodies[0].rows.length >= 8);
  const header = [...table.tHead.rows[0].cells].findIndex((h) => h.textContent === "difference");
  const column = () => [...table.tBodies[0].rows].map((r) => Number(r.cells[header].dataset.key));
  const shown = () => [...table.tBodies[0].rows].filter((r) => !r.hidden).map((r) => r.cells[0].textContent);
  const found = { ready: Number(document.documentElement.dataset.ready), before: column() };
  table.tHead.rows[0].cells[header].click();
  found.up = column();
  table.tHead.rows[0].cells[header].click();
  found.down = column();
  const input = table.parentElement.previousElementSibling.querySelector("input");
  input.value = "odd loss";
  input.dispatchEvent(new Event("input"));
  found.filtered = shown();
  input.value = "";
  input.dispatchEvent(new Event("input"));
  found.all = shown().length;
  found.images = [...document.images].map((i) => i.complete && i.naturalWidth > 0);
  found.sides = [...document.querySelectorAll("#viewer .side h4")].map((h) => h.textContent);
  const buttons = document.querySelectorAll("#viewer button");
  buttons[1].click();
  found.pressed = [...buttons].map((b) => b.getAttribute("aria-pressed"));
  found.said = document.querySelector("#viewer p").textContent;
  found.strongest = document.querySelector("#viewer .at").textContent;
  found.problems = window.problems;
  document.title = "FOUND" + JSON.stringify(found) + "END";
});
</script>
"""


# every table by every column, up and down, with the order that the page's own keys ask for
SORTS = """
<script>
window.problems = [];
window.addEventListener("error", (e) => window.problems.push(String(e.message)));
window.addEventListener("load", () => {
  const found = { ready: Number(document.documentElement.dataset.ready), columns: 0, wrong: [] };
  for (const table of document.querySelectorAll("table.data")) {
    [...table.tHead.rows[0].cells].forEach((header, column) => {
      for (const sign of [1, -1]) {
        header.click();
        const keys = [...table.tBodies[0].rows].map((r) => r.cells[column].dataset.key);
        const numbers = keys.filter((k) => k !== "" && !Number.isNaN(Number(k))).map(Number);
        const fine = numbers.every((n, i) => i === 0 || sign * (n - numbers[i - 1]) >= 0);
        if (!fine) found.wrong.push(header.textContent);
        found.columns += 1;
      }
    });
  }
  found.images = [...document.images].map((i) => i.complete && i.naturalWidth > 0);
  found.problems = window.problems;
  document.title = "FOUND" + JSON.stringify(found) + "END";
});
</script>
"""


def run(page: Path, folder: Path, acts: str = ACTS) -> tuple[dict, str]:
    """What ``acts`` found on ``page``, and what the browser logged."""
    acted = page.with_name("acted.html")  # beside it: figures are addressed from there
    acted.write_text(page.read_text().replace("<head>", f"<head>{acts}", 1))
    options = "--headless=new --no-sandbox --disable-gpu --enable-logging=stderr --virtual-time-budget=8000 --dump-dom"
    profile = f"--user-data-dir={folder / 'profile'}"
    done = subprocess.run([str(BROWSER), *options.split(), profile, acted.as_uri()], capture_output=True, text=True)
    found = re.search(r"<title>FOUND(.*?)END</title>", done.stdout, re.S)
    assert found, done.stderr[-2000:]
    return json.loads(found[1].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")), done.stderr


@pytest.fixture
def page(tmp_path):
    """A page of made-up numbers with everything in it."""
    rows = [
        [f"{'odd' if i % 2 else 'even'}", f"{(-1) ** i * (i + 0.5):+.1f}", "loss" if i % 3 else "win"] for i in range(9)
    ]
    header = ["host", "difference", "verdict"]
    (tmp_path / "figure.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><circle r="4"/></svg>'
    )
    side = {
        "density": 0.01,
        "largest": 2.0,
        "contexts": [{"document": "d", "words": ["a", "b"], "codes": [0.0, 2.0], "at": 1}],
    }
    features = [
        {"feature": j, "group": "in the middle", "cosine": 0.5, "correlation": 0.25, "overlap": 0.1 * j,
         "sides": {"teacher": side, "rsae": side}}
        for j in range(3)
    ]  # fmt: skip
    table = markdown.Table("A", header, [[markdown.cell(text) for text in row] for row in rows])
    html = render(
        suite="made-up",
        documents=[("strict", [markdown.Heading(1, "Strict"), table])],
        pictures={"gates": [Picture(tmp_path / "figure.svg", "a", "b")]},
        views={"h/t": {"rsae": features}},
        run_card={"commit": "0" * 40, "device": "CPU", "rules": {}},
        not_run={},
        exports=[],
    )
    (tmp_path / "report.html").write_text(html)
    return tmp_path / "report.html"


def test_a_person_can_work_with_it(page, tmp_path):
    found, log = run(page, tmp_path)
    assert found["problems"] == []
    assert "CONSOLE" not in log
    assert found["ready"] < 2000
    assert found["up"] == sorted(found["before"])
    assert found["down"] == sorted(found["before"], reverse=True)
    assert found["filtered"] == ["odd"] * 3  # 1, 5, 7: odd rows that are a loss
    assert found["all"] == 9
    assert found["images"] == [True]
    assert found["sides"] == ["teacher", "rsae"]
    assert found["pressed"] == ["false", "true", "false"]
    assert (
        "Feature 1: cosine of decoder rows 0.50, correlation of codes 0.25, shared strongest tokens 0.10"
        in found["said"]
    )
    assert found["strongest"] == "b"


def test_a_suites_own_page_is_whole_in_a_browser(root, tmp_path):
    page = root / "report.html"
    found, log = run(page, tmp_path, SORTS)
    assert found["problems"] == []
    assert "CONSOLE" not in log
    assert found["ready"] < 2000
    assert page.stat().st_size < 5e6
    assert found["columns"] > 100
    assert found["wrong"] == []
    assert len(found["images"]) >= 5
    assert all(found["images"])
    # what the page shows is its own: moved elsewhere, it shows the same
    alone = tmp_path / "alone" / "report.html"
    alone.parent.mkdir()
    shutil.copy(page, alone)
    assert run(alone, tmp_path, SORTS)[0]["images"] == found["images"]
