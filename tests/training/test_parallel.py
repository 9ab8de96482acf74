"""Several processes end as one does: the same losses, the same SAE."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rsae.plan import load_plans
from rsae.sae.model import SAE
from tests.faults import pipeline
from tests.training import parallel_worker

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = 1e-5


def torchrun(processes: int, *command: str, cwd: Path, **env: str) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--standalone", "-m"]
    done = subprocess.run(
        [*launcher, *command], cwd=cwd, env=os.environ | env, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]


def launch(processes: int, by: str, folder: Path, stop_at: int = -1) -> None:
    """One torchrun for all gates."""
    torchrun(processes, "tests.training.parallel_worker", by, str(folder), str(stop_at), cwd=ROOT)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """By one process, without torchrun."""
    folder = tmp_path_factory.mktemp("alone")
    parallel_worker.main("token", folder, -1)
    return folder


def assert_same(wanted: Path, found: Path, processes: int, step: str = "eager") -> None:
    for name in parallel_worker.gates():
        configs = [json.loads((folder / name / "cfg.json").read_text()) for folder in (wanted, found)]
        facts = [cfg.pop("metadata") for cfg in configs]
        assert (facts[1]["processes"], facts[1]["step"]) == (processes, step)
        assert facts[1]["losses"] == pytest.approx(facts[0]["losses"], rel=TOLERANCE), name
        assert facts[1]["losses"][1] < 0.9 * facts[1]["losses"][0], name  # something was learnt
        assert facts[1]["code"] == pytest.approx(facts[0]["code"], rel=TOLERANCE), name
        for key in ("weights_sha256", "sha256"):
            assert [cfg.pop(key) for cfg in configs]
        assert configs[0] == configs[1]
        saes = [SAE.load(folder / name).tensors() for folder in (wanted, found)]
        for key, value in saes[0].items():
            torch.testing.assert_close(saes[1][key], value, rtol=TOLERANCE, atol=TOLERANCE, msg=f"{name} {key}")


@pytest.mark.parametrize(("by", "step"), [("token", ""), ("feature", ""), ("token", "compiled")])
def test_two_processes_end_as_one(alone, tmp_path, monkeypatch, by, step):
    monkeypatch.setenv("RSAE_STEP", step)
    launch(2, by, tmp_path)
    assert_same(alone, tmp_path, 2, step or "eager")


def test_what_two_left_three_continue_and_one_ends(alone, tmp_path):
    """By token, then by feature, then without torchrun; each stops when one of its processes is asked to."""
    launch(2, "token", tmp_path, stop_at=9)
    assert not (tmp_path / "relu").exists()
    launch(3, "feature", tmp_path, stop_at=9)
    assert not (tmp_path / "relu").exists()
    parallel_worker.main("token", tmp_path, -1)
    assert_same(alone, tmp_path, 1)


@pytest.mark.slow
def test_the_stage_under_torchrun_writes_what_one_process_writes(tmp_path):
    folder = pipeline.project(tmp_path)
    pipeline.finish(folder)
    place = folder / load_plans(folder / "config/suites")["tiny"].sae(pipeline.HOST, pipeline.TEACHER, "rsae", 0)
    wanted, report = SAE.load(place), json.loads(place.with_name("training.json").read_text())
    for by in ("token", "feature"):
        shutil.rmtree(place)
        command = ["finetune", "--host", pipeline.HOST, "--teacher", pipeline.TEACHER, "--arm", "rsae", "--by", by]
        torchrun(2, "rsae", *command, cwd=folder, PYTHONPATH=str(ROOT), **pipeline.ENVIRONMENT)
        found, said = SAE.load(place), json.loads(place.with_name("training.json").read_text())
        assert (said["processes"], said["by"]) == (2, by)
        assert said["loss_last"] == pytest.approx(report["loss_last"], rel=TOLERANCE)
        assert found.eps == pytest.approx(wanted.eps, rel=1e-3)
        # by norm: where a gradient is nothing but rounding, Adam still makes steps of the learning rate's size
        for key, value in wanted.tensors().items():
            assert float((found.tensors()[key] - value).norm() / value.norm()) < TOLERANCE, (by, key)
