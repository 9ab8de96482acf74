"""The tiny suite to its page, by the commands that a person types."""

import base64
import csv
import re
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from rsae.cli import app
from rsae.data.activations.shards import Shards
from rsae.runtime.files import read_sealed
from rsae.sae.model import SAE
from tests.faults.pipeline import HOST, TEACHER, finish, project

ARMS = ("teacher", "teacher_ft", "rsae_init", "rsae")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = project(tmp_path_factory.mktemp("tiny"))
    finish(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in (f"examine --host {HOST} --teacher {TEACHER}", "report --suite tiny"):
            done = CliRunner().invoke(app, line.split(), catch_exceptions=False)
            assert done.exit_code == 0, done.output
    return folder / "results/tiny"


def test_features_are_those_of_the_saes(root):
    found = read_sealed(root / HOST / TEACHER / "features.json")
    x = torch.from_numpy(Shards(root / HOST / "activations/test").load().x.astype("float32"))
    assert found["n_tok"] == len(x)
    for arm in ARMS:
        sae = SAE.load(root / HOST / TEACHER / arm / "seed-0/sae")
        z = sae.hard(sae.encode(x))
        assert found["arms"][arm]["l0"] == pytest.approx(float((z != 0).sum(1).float().mean()), rel=1e-6)
        assert found["arms"][arm]["dead"] == int((z == 0).all(0).sum())
    gate = found["gate"]
    assert set(gate["arms"]) == set(ARMS)
    for h, z in zip(gate["points"], gate["arms"]["teacher"]["codes"], strict=True):
        assert z == pytest.approx(max(h, 0.0), abs=1e-6)  # a ReLU
    assert sum(gate["arms"]["rsae"]["counts"]) <= len(x)
    teacher = SAE.load(root / HOST / TEACHER / "teacher/seed-0/sae")
    for view in found["views"]["rsae"]:
        side = view["sides"]["teacher"]
        z = teacher.encode(x)[:, view["feature"]]
        assert side["largest"] == pytest.approx(float(z.max()), rel=1e-5)
        assert side["contexts"][0]["codes"][side["contexts"][0]["at"]] == pytest.approx(float(z.max()), abs=1e-3)


def test_the_page_is_whole(root):
    html = (root / "report.html").read_text()
    assert len(html) < 5e6
    for section in ("gates", "thresholds", "densities", "stability", "fronts"):
        assert (root / f"figures/{section}-{HOST}-{TEACHER}.svg").read_text().count("<svg") == 1
    assert len(re.findall(r'<img src="data:image/svg\+xml;base64,', html)) == 5
    for path in (root / "tables").glob("*.md"):
        title = path.read_text().splitlines()[0].removeprefix("# ")
        assert title in html
    exported = sorted((root / "exports").glob("*.csv"))
    assert {p.with_suffix(".tex").name for p in exported} == {p.name for p in (root / "exports").glob("*.tex")}
    (table,) = (p for p in exported if p.name.startswith("reconstruction-1-"))
    with open(table, newline="") as file:
        arms = [row[0] for row in csv.reader(file)]
    assert arms == ["arm", *(a for a in ARMS for _ in ("raw", "hard"))]
    assert "Not run" in html  # the degree atlas


def test_the_same_numbers_make_the_same_page(root, monkeypatch):
    files = [p for p in (root / "figures").iterdir() if p.suffix == ".svg"] + [root / "report.html"]
    before = {p: p.read_bytes() for p in files}
    monkeypatch.chdir(root.parents[1])
    assert CliRunner().invoke(app, ["report", "--suite", "tiny"]).exit_code == 0
    assert {p: p.read_bytes() for p in files} == before
    assert Path("results/tiny/report.html").is_file()


def test_figures_that_others_made_are_shown_too(root, monkeypatch):
    svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><circle r="4"/></svg>'
    for path in (root.parent / "gates/atlas/degree.svg", root / "tables/pareto_mse_sum.svg"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(svg)
    monkeypatch.chdir(root.parents[1])
    assert CliRunner().invoke(app, ["report", "--suite", "tiny"]).exit_code == 0
    html = (root / "report.html").read_text()
    assert html.count(base64.b64encode(svg.encode()).decode()) == 2
    assert 'href="../gates/atlas/degree.svg"' in html
    assert 'href="tables/pareto_mse_sum.svg"' in html
    for address in re.findall(r'href="([^"#:]+)"', html):
        assert (root / address).is_file(), address
