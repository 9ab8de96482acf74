"""The benchmark's GPU part runs whole on a CPU, on small shapes: a machine with a GPU is lent for minutes."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM

from benchmarks import gpu
from rsae.sae.gates import kernels

ROOT = Path(__file__).resolve().parents[1]
HOST = Gemma2Config(
    vocab_size=50, hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
    num_key_value_heads=1, head_dim=4,
)  # fmt: skip
SMALL = gpu.Sizes(
    shapes=((8, 32),), batch=16, copied=1 << 10, multiplied=32, trained=(8, 32), tokens=100, steps=20, host=HOST,
    hosted=(8, 64), encoded=(8, 32, 4),
)  # fmt: skip


def numbers(found):
    """All of them, of nested dictionaries and lists."""
    if isinstance(found, dict | list):
        return [n for part in (found.values() if isinstance(found, dict) else found) for n in numbers(part)]
    return [found] if isinstance(found, int | float) else []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there the benchmark itself can run")
def test_it_says_where_there_is_no_gpu():
    assert gpu.run() == {"not_run": "no CUDA device"}


def test_it_measures_everything(tmp_path):
    """In a process of its own, for torch's compiler cannot look through the checks of shapes."""
    code = (
        "from benchmarks import gpu; from tests.test_gpu_rehearsal import SMALL; gpu.json.dump(gpu.run('cpu', SMALL),"
    )
    environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-c", f"{code} open({str(tmp_path / 'found.json')!r}, 'w'))"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "found.json").read_text())
    # each part has been said as soon as it was through
    said = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert said == [*found["shapes"], found["fine_tunes"], found["beside_the_host"], found["encode"]]
    assert found["gate_path"] == kernels.backend()
    (shape,) = found["shapes"]
    for precision in ("tf32", "bf16"):
        assert set(shape[precision]) == {
            *("floor_ms", "gate_ms", "relu_ms", "gate_share_of_bandwidth"),
            *("rational", "rational, compiled", "relu"),
        }
        assert shape[precision]["relu"]["step_over_floor"] == pytest.approx(
            shape[precision]["relu"]["step_ms"] / shape[precision]["floor_ms"]
        )
    encode = found["encode"]
    assert encode["resolvent_over_teacher"] == pytest.approx(encode["resolvent_ms"] / encode["teacher_ms"])
    assert {"on the device", "in main memory", "in shards"} < set(found["fine_tunes"])
    # by hand: embedding 50 x 8; of the layer q and o 8 x 8, k and v 8 x 4, mlp 3 x 8 x 16, four norms; a last norm
    assert found["beside_the_host"]["host_parameters"] == 400 + 2 * 64 + 2 * 32 + 384 + 4 * 8 + 8
    assert all(n > 0 and math.isfinite(n) for n in numbers(found))


def test_the_host_is_as_large_as_gemma_2_2b():
    """2.6 billion parameters (arXiv 2408.00118, table 1: 590M of embedding, 2,024M else)."""
    with torch.device("meta"):
        host = Gemma2ForCausalLM(gpu.FULL.host)
    total = sum(p.numel() for p in host.parameters())
    assert total == pytest.approx(590e6 + 2_024e6, rel=0.01)


def test_a_part_for_which_memory_is_short_loses_no_other(capsys):
    def short():
        raise torch.OutOfMemoryError("CUDA out of memory")

    assert gpu._kept(short) == {"out_of_memory": "CUDA out of memory"}
    assert json.loads(capsys.readouterr().err) == {"out_of_memory": "CUDA out of memory"}
