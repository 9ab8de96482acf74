"""How time and memory grow: with tokens, features, arms and shards. Each point is a process of its own."""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.gate import rational
from benchmarks.step import ours as fine_tune
from rsae.shards import Block, Shards, write
from rsae.shuffle import batches

D_IN, BATCH, POOL = 64, 1024, 32 << 20
TOKENS = [100_000, 300_000, 1_000_000]
FEATURES = [1024, 4096, 16_384, 65_536]
ARMS = [1, 2, 4]
SHARDS = [1, 4, 16, 64]


def _shuffled(n_tok: int, n_shards: int) -> dict[str, float]:
    """Write shards block by block, then one shuffled pass through a pool of fixed size."""
    rng, block = np.random.default_rng(0), 10_000

    def blocks() -> Any:
        for start in range(0, n_tok, block):
            x = rng.standard_normal((min(block, n_tok - start), D_IN), np.float32).astype(np.float16)
            yield Block(np.zeros(len(x), np.int32), np.arange(start, start + len(x), dtype=np.int32), x)

    with tempfile.TemporaryDirectory() as name:
        start = time.perf_counter()
        folder = Path(name, "shards")
        write(
            folder, blocks(), n_tok=n_tok, n_shards=n_shards, dtype="float16", hook="h", documents=["one"], made_from={}
        )
        wrote = time.perf_counter() - start
        stream = batches(Shards(folder), BATCH, 0, pool=POOL)
        start = time.perf_counter()
        n = n_tok // BATCH - 2 * (2 + n_tok * D_IN * 4 // POOL)  # what a chapter leaves over is no batch
        for _ in range(n):
            next(stream)
        return {
            "write_us_per_token": 1e6 * wrote / n_tok,
            "read_us_per_token": 1e6 * (time.perf_counter() - start) / n / BATCH,
        }


def _steps(d_sae: int, n_arms: int) -> dict[str, float]:
    """Steps of arms that share their batches, after one that warms up."""
    arms = [fine_tune(rational((9, 8), 1), D_IN, d_sae, BATCH) for _ in range(n_arms)]
    x, seconds = torch.randn(BATCH, D_IN), []
    for _ in range(4):
        start = time.perf_counter()
        for arm in arms:
            arm.advance(x)
        seconds.append(time.perf_counter() - start)
    return {"us_per_token": 1e6 * min(seconds[1:]) / BATCH}


POINTS: dict[str, Any] = {"shuffled": _shuffled, "steps": _steps}


def point(name: str, *sizes: int) -> dict[str, float]:
    """One measurement in this process, and the most memory that it held."""
    torch.set_num_threads(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = POINTS[name](*sizes)
    return found | {"grew_mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3}


def _apart(name: str, *sizes: int) -> dict[str, float]:
    code = f"import json; from benchmarks.growth import point; print(json.dumps(point({name!r}, *{sizes!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def run(tokens: list[int] = TOKENS) -> dict[str, list[dict]]:
    """One list of points per quantity that grows; ``--long`` of the command adds 1e7 tokens, 1.3 GB of disk."""
    return {
        "tokens": [{"n_tok": n} | _apart("shuffled", n, 4) for n in tokens],
        "shards": [{"n_shards": n} | _apart("shuffled", TOKENS[1], n) for n in SHARDS],
        "features": [{"d_sae": n} | _apart("steps", n, 1) for n in FEATURES],
        "arms": [{"n_arms": n} | _apart("steps", 4096, n) for n in ARMS],
    }
