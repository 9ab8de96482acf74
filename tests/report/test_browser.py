"""The page in a real browser: no errors, tables sort and filter, every figure drawn, the features' view works."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from rsae.report import blocks
from rsae.report.page import Picture, render

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


def run(page: Path, folder: Path) -> tuple[dict, str]:
    """What :data:`ACTS` found on ``page``, and what the browser logged."""
    acted = folder / "acted.html"
    acted.write_text(page.read_text().replace("<head>", f"<head>{ACTS}", 1))
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
    table = blocks.Table("A", header, [[blocks.cell(text) for text in row] for row in rows])
    html = render(
        suite="made-up",
        documents=[("strict", [blocks.Heading(1, "Strict"), table])],
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
