"""All arms of a pair in one process: what each would end as alone, from one reading, and after a kill."""

import json
import subprocess
import sys
from pathlib import Path

from rsae.plan import load_plans
from tests.faults import pipeline
from tests.faults.pipeline import HOST, ROOT, TEACHER

# the command as it is, with its readings counted; told to, it ends without warning before a second fine-tune
COMMAND = f"""
import json, os, sys
from rsae import cli
from rsae.data.activations import shards
from rsae.stages.training import finetune as stage

reads, trained = [], []
read, train = shards.Shards.activations, stage.finetune

def reading(self, *given):
    reads.append(self.folder.name)
    return read(self, *given)

def training(*given):
    if trained and "killed" in sys.argv:
        os._exit(9)
    trained.append(given[4])
    return train(*given)

shards.Shards.activations, stage.finetune = reading, training
cli.app(["finetune", "--host", "{HOST}", "--teacher", "{TEACHER}"], standalone_mode=False)
print(json.dumps([reads, trained]))
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    env = {"PYTHONPATH": str(ROOT), "PATH": str(Path(sys.executable).parent), **pipeline.ENVIRONMENT}
    command = [sys.executable, "-c", COMMAND, *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


def test_arms_read_once_and_end_as_they_do_alone_also_after_a_kill(project):
    plan = load_plans()["tiny"]
    arms = plan.tuned_arms(HOST, TEACHER)
    assert arms == ["teacher_ft", "rsae"]
    files = [path for arm in arms for path in plan.sae_files(HOST, TEACHER, arm, 0)]
    alone = {path: path.read_bytes() for path in files}
    for path in files:
        path.unlink()

    killed = run(project, "killed")
    assert killed.returncode == 9, killed.stderr
    states = plan.unfinished(HOST, TEACHER)
    assert [(states / arm / "seed-0.pt").is_file() for arm in arms] == [True, False]
    for path in plan.sae_files(HOST, TEACHER, "teacher_ft", 0):
        path.unlink()  # as Snakemake does with what a failed job has written

    done = run(project)
    assert done.returncode == 0, done.stderr
    reads, trained = json.loads(done.stdout.splitlines()[-1])
    assert reads == ["finetune"]
    assert trained == [f"finetune {arm} seed 0" for arm in arms]
    assert "continues at step 20 of 20" in done.stdout  # it was through, and is not trained again
    assert {path: path.read_bytes() for path in files} == alone
    assert not any((states / arm).exists() for arm in arms)


def test_a_seed_is_one_of_an_arms(project, rsae):
    assert "say which --arm" in rsae(f"finetune --host {HOST} --teacher {TEACHER} --seed 0")


def test_a_pair_without_tuned_arms_is_named(project, rsae):
    suite = project / "config/suites/tiny.yaml"
    suite.write_text(suite.read_text().replace("arms: [teacher, teacher_ft, rsae_init, rsae]", "arms: [teacher]"))
    assert f"{HOST}/{TEACHER} has no arm that is fine-tuned" in rsae(f"finetune --host {HOST} --teacher {TEACHER}")
