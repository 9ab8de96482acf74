"""The lines of docs/containers.md, run as they stand there: images are built, and suites run in them."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests import hub
from tests.containers import engines
from tests.containers.engines import ROOT
from tests.workflow import every
from tests.workflow.project import Project

SOMEBODY = "12345:12345"  # tests are root where an engine can be installed; a person is not


def documented(program: str) -> list[str]:
    """The commands of the docs that call ``program``."""
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "docs/containers.md").read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if program in line.split()[:1]]


def test_both_images_start_from_the_same_pinned_base():
    found = [re.findall(r"BASE=(\S+)", (ROOT / "containers" / name).read_text()) for name in ("Dockerfile", "rsae.def")]
    assert found[0] == found[1]
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+@sha256:[0-9a-f]{64}", found[0][0])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder for gigabytes, gone afterwards."""
    folder = tmp_path_factory.mktemp("images")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def base(place) -> Path:
    engines.install(debootstrap="debootstrap")
    return engines.base(place / "base")


@pytest.fixture(scope="module")
def pip(place) -> engines.Pip:
    return engines.Pip(place)


def shell(line: str, folder: Path, programs: Path, environment: Mapping[str, str] = os.environ) -> str:
    path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return engines.call("bash", "-euc", line, cwd=folder, env={**environment, "PATH": path})


def run_card(project: Project, suite: str) -> dict:
    """Conditions of a run, in which compiler and headers were found."""
    card = json.loads((project.folder / f"results/{suite}/run-card.json").read_text())
    assert set(card["gate_paths"]) == {"compiled", "plain"}
    return card


@pytest.mark.slow
def test_the_docker_lines(place, base, pip, tmp_path):
    programs = engines.docker(place / "docker", base, pip)
    build, run = documented("docker")
    project = Project(tmp_path)
    shell(build, project.folder, programs)
    assert shell("docker run --rm rsae id -u", project.folder, programs).strip() != "0"
    python = shell("docker run --rm rsae python --version", project.folder, programs).split()[1]
    subprocess.run(["chown", "--recursive", SOMEBODY, project.folder], check=True)
    shell(run.replace("$(id -u):$(id -g)", SOMEBODY), project.folder, programs)
    assert run_card(project, "quick")["python"] == python
    done = project.rsae("check", "--suite", "quick")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_apptainer_lines(place, base, pip, tmp_path):
    programs = engines.apptainer(place / "apptainer", base, pip)
    (build,) = documented("apptainer")
    (run,) = (line for line in documented("./in-venv") if "--sdm apptainer" in line)
    project = every.every(tmp_path / "project")
    shell(build, project.folder, programs)
    python = shell("apptainer exec containers/rsae.sif python --version", project.folder, programs).split()[1]
    with every.served(tmp_path / "hub").serve() as local:
        environment = hub.environment(tmp_path / "home", local)

        def snakemake(*targets: str, check: bool = True) -> str:
            line = run.replace("./in-venv", "").replace("quick", " ".join(targets))
            return shell(f"{line} 2>&1" + " || true" * (not check), project.folder, programs, environment)

        said = every.run(project, snakemake)
    assert every.with_commands(project) - every.started(said) == set()
    assert said.count("Activating singularity image") >= len(every.with_commands(project))
    for suite in ("every", "paper-smoke"):
        assert run_card(project, suite)["python"] == python
