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


@pytest.mark.slow
def test_a_killed_snakemake_leaves_a_lock_that_is_named_and_then_continues_byte_equal(unbroken, tmp_path):
    project = Project(tmp_path / "project")
    for name, text in (("suites", pipeline.SUITE), ("text", pipeline.TEXT)):
        (project.folder / f"config/{name}/tiny.yaml").write_text(text)
    environment = os.environ | pipeline.ENVIRONMENT
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    command, rng, kills = ["snakemake", "--cores", "2", "tiny"], random.Random(3), 0
    locks = project.folder / ".snakemake/locks"
    with open(tmp_path / "said.txt", "w+") as said:
        while True:
            run = subprocess.Popen(
                command, cwd=project.folder, env=environment, stdout=said, stderr=said, start_new_session=True
            )
            while run.poll() is None and not list(locks.glob("*")):
                time.sleep(0.05)
            try:
                assert run.wait(rng.uniform(3, 25) if kills < 5 else None) == 0, (tmp_path / "said.txt").read_text()
                break
            except subprocess.TimeoutExpired:
                os.killpg(run.pid, signal.SIGKILL)  # Snakemake and every job of it
                run.wait()
            kills += 1
            locked = project.call(*command, check=False)
            assert locked.returncode != 0
            assert re.search("cannot be locked.*--unlock", locked.stdout + locked.stderr, re.DOTALL)
            project.call("snakemake", "--unlock")
    assert kills >= 2
    wanted = pipeline.results(unbroken.folder)
    found = {k: v for k, v in pipeline.results(project.folder).items() if k in wanted}
    assert sorted(found) == sorted(wanted)
    assert [name for name in wanted if found[name] != wanted[name]] == []
    secret = pipeline.ENVIRONMENT["HF_TOKEN"].encode()
    logs = [p for p in project.folder.rglob("*.log") if p.is_file()]
    assert len(logs) > 10
    assert [p for p in logs if secret in p.read_bytes()] == []
