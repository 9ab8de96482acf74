"""One compiled step: it ends where the eager one does, as one graph, and says which of them ran."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from rsae.runtime import matmul
from rsae.sae.gates import kernels
from rsae.sae.gates.relu import ReLU
from rsae.training import compiled_step
from rsae.training.finetune import Settings, finetune
from tests.training.compiled_worker import CASES

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = 1e-5  # of the largest entry of a tensor, after forty steps: sums of fp32 in another order
SETTINGS = Settings(steps=20, batch=64, lr=1e-3, slow_lr=1e-3, decay_share=0.2, l1_coefficient=0.05)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compiled")
    command = [sys.executable, "-m", "tests.training.compiled_worker", str(folder)]
    environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(folder / "cache")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "found.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_a_compiled_fine_tune_ends_as_an_eager_one(found, case):
    one = found[" ".join(case)]
    assert one["steps"] == ["eager", "compiled"]
    assert one["losses"][1] == pytest.approx(one["losses"][0], rel=TOLERANCE)
    assert one["losses"][1][1] < 0.9 * one["losses"][1][0]  # something was learnt
    assert one["distance"] < TOLERANCE


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_its_step_is_one_graph(found, case):
    assert (found[" ".join(case)]["graphs"], found[" ".join(case)]["breaks"]) == (1, 0)


def test_an_interrupted_one_ends_with_the_same_bits(found):
    assert found["continued"]["distance"] == 0


def test_batches_come_in_parts_where_memory_is_short(found):
    assert (found["halved"]["parts"], found["halved"]["graphs"]) == (4, 2)
    assert found["halved"]["distance"] < TOLERANCE


def test_a_refinement_stays_eager(found):
    assert found["resolvent"] == "eager"


@pytest.mark.parametrize(
    ("wanted", "device", "steps", "static", "path"),
    [
        ("", "cpu", 10**6, True, "eager"),
        ("", "cuda", 22_000, True, "compiled"),
        ("", "cuda", 500, True, "eager"),
        ("", "cuda", 22_000, False, "eager"),
        ("eager", "cuda", 22_000, True, "eager"),
        ("compiled", "cpu", 500, True, "compiled"),
        ("compiled", "cpu", 500, False, "eager"),
    ],
)
def test_which_of_them_runs(monkeypatch, wanted, device, steps, static, path):
    monkeypatch.setenv("RSAE_STEP", wanted)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)  # Triton is installed
    assert compiled_step.mode(device, steps, static) == path
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert compiled_step.mode(device, steps, static) == (path if wanted else "eager")


def test_another_path_is_refused(monkeypatch, make_sae):
    monkeypatch.setenv("RSAE_STEP", "fast")
    with pytest.raises(
        ValueError, match="RSAE_STEP must be compiled or eager, or left unset for the faster path; got 'fast'"
    ):
        finetune(make_sae(ReLU()), torch.randn(640, 8), SETTINGS, seed=0)


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_what_cannot_be_compiled_goes_on_without_unless_somebody_insists(found, where):
    assert found[f"broken {where} "]["step"] == "eager"
    assert found[f"broken {where} "]["distance"] < TOLERANCE
    refused = found[f"broken {where} compiled"]["refused"]
    assert refused.startswith("torch cannot compile this fine-tune's step: ")
    assert "no such instruction" in refused
    assert refused.endswith("; set RSAE_STEP=eager to do without")


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_memory_that_the_compiler_lacks_is_memory(found, where):
    assert found[f"short {where}"]["parts"] == 2
    assert found[f"short {where}"]["step"] == "compiled"
    assert found[f"short {where}"]["distance"] < TOLERANCE


def of_the_gate(n_tok, d_sae):
    rng = np.random.default_rng(0)

    def tensor(*shape):
        return torch.from_numpy(rng.uniform(0.5, 1.5, shape)).float()

    g, price, h = tensor(n_tok, d_sae), tensor(n_tok), tensor(n_tok, d_sae)
    shape = tensor(4), tensor(3), tensor(d_sae), tensor(d_sae), 0.1, True
    return (h, *shape), (g, price, h, *shape)


@pytest.mark.parametrize("path", ["compiled", "tiled"])
@pytest.mark.parametrize("size", [(5, 7), (0, 7)])
def test_torch_is_told_the_shapes_of_the_gates_operations(monkeypatch, path, size):
    """By torch's own checks of an operation: what it says of its results, and that they share no memory."""
    monkeypatch.setenv("RSAE_GATE", "tiled" if path == "tiled" else "")
    assert kernels.backend() == path
    codes, gradients = of_the_gate(*size)
    torch.library.opcheck(torch.ops.rsae.rational.default, codes)
    torch.library.opcheck(torch.ops.rsae.rational_gradients.default, gradients)


@pytest.mark.skipif(matmul.backend() != "onednn", reason="oneDNN is asked where there is AVX-512")
@pytest.mark.parametrize("bias", [None, torch.randn(3)])
def test_torch_is_told_the_shape_of_a_product(bias):
    for x in (torch.randn(5, 4), torch.randn(4, 5).T):
        torch.library.opcheck(torch.ops.rsae.times_transposed.default, (x, torch.randn(3, 4), bias))
