"""How time and memory grow with tokens, shards, features and arms. Each point is a process of its own."""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.gate import rational
from benchmarks.step import ours
from rsae.data.activations.batches import batches
from rsae.data.activations.shard_writer import write
from rsae.data.activations.shards import Block, Shards

D_IN, BATCH, BLOCK = 64, 1024, 10_000
POOL = 32 << 20  # bytes of activations in memory
TOKENS = (100_000, 1_000_000, 10_000_000)  # the last is 1.3 GB on disk
SHARDS = (1, 8, 64)
FEATURES = (1024, 4096, 16_384, 65_536)
ARMS = (1, 2, 4)


def _streamed(n_tok: int, n_shards: int) -> dict[str, float]:
    """Microseconds a token: shards written as a harvest writes them, then one shuffled pass over them."""
    x = np.random.default_rng(0).standard_normal((BLOCK, D_IN), np.float32).astype(np.float16)

    def harvested() -> Iterator[Block]:
        for start in range(0, n_tok, BLOCK):
            yield Block(np.zeros(BLOCK, np.int32), np.arange(start, start + BLOCK, dtype=np.int32), x)

    with tempfile.TemporaryDirectory() as name:
        start = time.perf_counter()
        write(
            Path(name, "shards"), harvested(), n_tok=n_tok, n_shards=n_shards, dtype="float16", hook="h",
            documents=["one"], made_from={},
        )  # fmt: skip
        wrote = time.perf_counter() - start
        stream = batches(Shards(Path(name, "shards")), BATCH, 0, pool=POOL)
        start, n = time.perf_counter(), n_tok // BATCH
        for _ in range(n):
            next(stream)
        return {"write_us": 1e6 * wrote / n_tok, "read_us": 1e6 * (time.perf_counter() - start) / n / BATCH}


def _stepped(d_sae: int, n_arms: int) -> dict[str, float]:
    """Microseconds a token of one step of each arm, all arms from the same batch; the fastest of three."""
    arms = [ours(rational((9, 8), 1), D_IN, d_sae, BATCH) for _ in range(n_arms)]
    x, seconds = torch.randn(BATCH, D_IN), []
    for _ in range(4):  # the first builds the gate and the optimiser's state
        start = time.perf_counter()
        for arm in arms:
            arm.advance(x)
        seconds.append(time.perf_counter() - start)
    return {"step_us": 1e6 * min(seconds[1:]) / BATCH}


KINDS: dict[str, Callable[[int, int], dict[str, float]]] = {"streamed": _streamed, "stepped": _stepped}


def point(kind: str, first: int, second: int) -> dict[str, float]:
    """One measurement, with what this process needed for it at its peak beyond the libraries."""
    torch.set_num_threads(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = KINDS[kind](first, second)
    return found | {"peak_mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3}


def run() -> list[dict]:
    """A point per size: what grew, how far, time and memory."""
    asked = [("tokens", n, "streamed", n, 4) for n in TOKENS]
    asked += [("shards", n, "streamed", TOKENS[1], n) for n in SHARDS]
    asked += [("features", n, "stepped", n, 1) for n in FEATURES]
    asked += [("arms", n, "stepped", FEATURES[1], n) for n in ARMS]
    found = []
    for what, size, *call in asked:
        code = f"import json; from benchmarks.growth import point; print(json.dumps(point(*{call!r})))"
        done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
        found.append({"what": what, "size": size} | json.loads(done.stdout.splitlines()[-1]))
    return found
