"""Every benchmark that a page names runs as it stands there and writes its results, in a clone of the project."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.workflow.project import ROOT, Project

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def named() -> list[str]:
    """What stands behind ``python -m``, in code of either kind."""
    found = {" ".join(m.split()) for p in PAGES for m in re.findall(r"python -m (benchmarks[^`#\n]*)", p.read_text())}
    return sorted(found)


def test_the_pages_name_them():
    assert {
        "benchmarks",
        "benchmarks gpu",
        "benchmarks.encode",
        "benchmarks.peers.sae_lens_evals",
        "benchmarks.peers.saebench",
    } < {*named()}
    modules = {name.split()[0].partition(".")[2] for name in named()} - {""}
    assert [m for m in modules if not (ROOT / f"benchmarks/{m.replace('.', '/')}.py").is_file()] == []


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """In git, for one of them measures a clone of what is committed."""
    made = Project(tmp_path_factory.mktemp("benchmarks"))
    who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "--quiet"], ["add", "."], [*who, "commit", "--quiet", "--message", "all of it"]):
        subprocess.run(["git", *command], cwd=made.folder, check=True)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("command", named())
def test_a_benchmark_runs_and_writes_its_results(project, command):
    start = time.time()
    project.call(sys.executable, "-m", *command.split())
    kept = [*(project.folder / "benchmarks/results").glob("*.json"), *(project.folder / "docs").rglob("*.md")]
    written = [path for path in kept if path.stat().st_mtime >= start]
    assert written
    assert all(Path(path).stat().st_size > 500 for path in written)
