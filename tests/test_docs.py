"""Every command that README and docs name exists with these options; tutorial and examples run as they stand."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

from rsae.cli import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "results/README.md",
    ROOT / "config/README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
COMMAND = re.compile(r"python -m rsae ([^`\n>|#]+)")
VALUED = {"--cores", "-c", "--jobs", "-j", "--profile", "--executor", "--sdm", "--report", "--rulegraph", "--resources"}
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.S | re.M)


def commands() -> list[tuple[str, str]]:
    return [(page.name, found.strip()) for page in PAGES for found in COMMAND.findall(page.read_text())]


@pytest.mark.parametrize(("page", "line"), commands())
def test_a_command_of_the_docs_exists_with_its_options(page, line):
    group = typer.main.get_command(app)
    words = shlex.split(line)
    if words[0] == "STAGE":  # the word for any of them
        return
    if words[0] == "--help":
        return
    command = group.commands[words[0]]  # type: ignore[attr-defined]
    known = {option for p in command.params for option in (*p.opts, *p.secondary_opts)} | {"--help"}
    used = {word for word in words[1:] if word.startswith("--")}
    assert used <= known, f"{page}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


def targets() -> set[str]:
    """What pages tell to make, but for what the reader has written."""
    mine, found = {"mine", "my-suite", "my-host", "SUITE", "HOST", "TARGET"}, set()
    for page in PAGES:
        text = page.read_text()
        lines = re.findall(r"`snakemake ([^`]+)`", text) + re.findall(r"^\./in-venv snakemake ([^#\n]+)", text, re.M)
        for line in lines:
            words = re.sub(r"(?:^|\s)--?[\w-]+(?: (?![{-])\S+)?", takes_one, line).split()
            found |= {word.rstrip(",;") for word in words if "{" not in word and "/" not in word} - mine
    return found


def test_every_target_of_the_docs_can_be_planned():
    assert len(targets()) > 20
    done = subprocess.run(
        [Path(sys.executable).with_name("snakemake"), "-n", "--cores", "1", "--quiet", "all", "--", *sorted(targets())],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def takes_one(option: re.Match[str]) -> str:
    """An option is no target, and neither is its value where it has one."""
    name, _, value = option[0].strip().partition(" ")
    return "" if name in VALUED else f" {value}"


def run(code: list[str], folder: Path, **env: str) -> str:
    environment = os.environ | {"RSAE_GATE": "tiled", "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"} | env
    done = subprocess.run(code, cwd=folder, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, f"{code}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture
def clone(tmp_path):
    """The package, the configuration and the embedded assets, to be changed at will."""
    for name in ("rsae", "config"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    for name in ("README.md", "requirements.lock"):
        shutil.copy2(ROOT / name, tmp_path / name)
    return tmp_path


def test_the_tutorial_runs_as_it_stands(clone):
    page = ROOT / "docs/tutorial.md"
    told = [
        run([sys.executable, *shlex.split(line.removeprefix("./in-venv python "))], clone)
        for block in blocks(page, "bash")
        for line in block.splitlines()
    ]
    assert "packages" in told[0]
    assert '"n_alternations"' in told[1]
    assert "held-out documents" in told[2]
    assert "Chosen: " in told[2]
    told = run([sys.executable, "-c", "\n".join(blocks(page, "python"))], clone)
    assert told.splitlines()[0].startswith("2048 ")
    assert "No verdict: 6 held-out documents" in told


GIVEN = """
import functools
import rsae.api.upgrade
import rsae
from rsae.api.inputs import activations_of
from rsae.api.from_text import tokenised
rsae.api.upgrade.upgrade = functools.partial(rsae.api.upgrade.upgrade, steps=2)
rows = tokenised("docstrings", "assets/embedded/host", {}, 64, True, 4000)
activations = activations_of(rows, None, "assets/embedded/host", "blocks.1.hook_resid_post", False).x
"""


def test_the_readmes_python_runs_as_it_stands(clone):
    load, upgrade = (block for block in blocks(ROOT / "README.md", "python"))
    run([sys.executable, "-c", "\n".join([GIVEN, upgrade, load, "assert sae.cfg.d_sae == 2048"])], clone)


def test_the_examples_of_extending_run_as_they_stand(clone):
    page = ROOT / "docs/extending.md"
    trials = []
    for block in blocks(page, "python") + blocks(page, "yaml"):
        first, _, rest = block.partition("\n")
        if first == "# try it":
            trials.append(rest)
        elif first.startswith("# "):
            (clone / first[2:]).write_text(rest)
        else:
            assert yaml.safe_load(block)["my-sae"]["kind"] == "topk"  # an entry, not a file
    for block in blocks(page, "diff"):
        changed(clone, block)
    assert len(trials) == 5
    assert run([sys.executable, "-c", "\n".join([*trials, "print('to the end')"])], clone).endswith("to the end\n")


def test_the_reference_names_what_there_is():
    """Not word for word, so that a docstring may be mended without it; `python docs/reference.py` renews the page."""
    made = run([sys.executable, "-c", "import runpy; print(runpy.run_path('docs/reference.py')['page']())"], ROOT)
    headings = re.compile(r"^##+ (.+)$", re.M)
    assert headings.findall((ROOT / "docs/api.md").read_text()) == headings.findall(made)


def changed(clone: Path, diff: str) -> None:
    """Apply hunks of one or two lines, each found by the line that it keeps or takes away."""
    head, *hunks = diff.split("@@\n")
    path = clone / head.splitlines()[0].removeprefix("--- a/")
    for hunk in hunks:
        lines = hunk.splitlines()
        before = "".join(f"{line[1:]}\n" for line in lines if line[0] in " -")
        after = "".join(f"{line[1:]}\n" for line in lines if line[0] in " +")
        text = path.read_text()
        assert text.count(before) == 1, f"{path.name}: {before}"
        path.write_text(text.replace(before, after))
