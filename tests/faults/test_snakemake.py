"""The same through Snakemake itself, whose processes are all killed at once, as by a machine that goes down."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults import pipeline
from tests.workflow.project import Project

ENVIRONMENT = os.environ | pipeline.ENVIRONMENT | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
RARELY = {"RSAE_CHECKPOINT_SECONDS": "2"}  # the quick suite's states are as large as its SAEs


def killed_until_done(
    project: Project, suite: str, kills: int, seconds: tuple[float, float], environment: dict[str, str] = ENVIRONMENT
) -> int:
    """Run a suite, ended with all its jobs after a random time and begun again, ``kills`` times at most."""
    command, rng, done = ["snakemake", "--cores", "2", suite], random.Random(3), 0
    locks, heard = project.folder / ".snakemake/locks", project.folder / "said.txt"
    with open(heard, "w") as said:
        while True:
            run = subprocess.Popen(
                command, cwd=project.folder, env=environment, stdout=said, stderr=said, start_new_session=True
            )
            while run.poll() is None and not list(locks.glob("*")):
                time.sleep(0.05)
            try:
                assert run.wait(rng.uniform(*seconds) if done < kills else None) == 0, heard.read_text()
                return done
            except subprocess.TimeoutExpired:
                os.killpg(run.pid, signal.SIGKILL)  # Snakemake and every job of it
                run.wait()
            if not list(locks.glob("*")):  # it was through a moment before the signal
                return done
            done += 1
            locked = project.call(*command, check=False)
            assert locked.returncode != 0
            assert re.search("cannot be locked.*--unlock", locked.stdout + locked.stderr, re.DOTALL)
            project.call("snakemake", "--unlock")


@pytest.mark.slow
def test_a_killed_snakemake_leaves_a_lock_that_is_named_and_then_continues_byte_equal(unbroken, tmp_path):
    project = Project(tmp_path / "project")
    pipeline.project(project.folder)
    assert killed_until_done(project, "tiny", 5, (3, 12)) >= 2
    wanted = pipeline.results(unbroken.folder)
    found = {k: v for k, v in pipeline.results(project.folder).items() if k in wanted}
    assert sorted(found) == sorted(wanted)
    assert [name for name in wanted if found[name] != wanted[name]] == []
    secret = pipeline.ENVIRONMENT["HF_TOKEN"].encode()
    logs = [p for p in project.folder.rglob("*.log") if p.is_file()]
    assert len(logs) > 10
    assert [p for p in logs if secret in p.read_bytes()] == []


@pytest.mark.slow
def test_the_quick_suite_killed_twenty_times_ends_in_the_bytes_of_an_unbroken_run(tmp_path):
    unbroken, killed = Project(tmp_path / "unbroken"), Project(tmp_path / "killed")
    start = time.monotonic()
    unbroken.snakemake("--cores", "2", "quick", RSAE_GATE=ENVIRONMENT["RSAE_GATE"])
    took = time.monotonic() - start
    # jobs begin again after each kill, which takes most of the time between two of them
    assert killed_until_done(killed, "quick", 20, (took / 30, took / 8), ENVIRONMENT | RARELY) >= 15
    found, wanted = pipeline.results(killed.folder), pipeline.results(unbroken.folder)
    timed = ("results/logs/", "results/benchmarks/")  # they hold seconds, and logs what was said in between
    left = {name for name in {*found, *wanted} if not name.startswith(timed) and found.get(name) != wanted.get(name)}
    assert left == set()
    assert sum(not name.startswith(timed) for name in wanted) > 40
