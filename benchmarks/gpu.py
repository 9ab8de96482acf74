"""The paper's shapes on one CUDA device, against ceilings that are measured on the same device in the same run."""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM

from benchmarks.encode import contestants
from benchmarks.gate import rational
from benchmarks.step import ours
from rsae.config.types import Precision
from rsae.data.activations.batches import batches, resident
from rsae.data.activations.shard_writer import write
from rsae.data.activations.shards import Block, Shards
from rsae.runtime.precision import training
from rsae.runtime.resources import GIB
from rsae.sae.gates import kernels
from rsae.sae.gates.base import Gate
from rsae.sae.gates.relu import ReLU
from rsae.training import compiled_step

DEGREE, STEPS = (9, 8), 22_000  # of the paper's fine-tunes
DTYPES: dict[Precision, torch.dtype] = {"tf32": torch.float32, "bf16": torch.bfloat16}
CONTESTANTS: tuple[tuple[str, Callable[[], Gate], compiled_step.Mode], ...] = (
    ("rational", lambda: rational(DEGREE, 1), "eager"),
    ("rational, compiled", lambda: rational(DEGREE, 1), "compiled"),
    ("relu", ReLU, "eager"),
)
PASSES, ADAM = 5, 28  # over [batch, d_sae] by the gate; bytes that Adam moves per parameter
WARM, ROUNDS = 3, 10


class Sizes(NamedTuple):
    """How large everything is; the paper's, but for a rehearsal."""

    shapes: tuple[tuple[int, int], ...] = ((768, 24_576), (768, 16_384), (2304, 16_384), (2304, 65_536))  # d_in, d_sae
    batch: int = 4096
    copied: int = 1 << 28  # fp32 numbers whose copy shows the bandwidth
    multiplied: int = 8192  # rows and columns of the product that shows the rate
    trained: tuple[int, int] = (2304, 16_384)  # d_in, d_sae of whole fine-tunes
    tokens: int = 1 << 18  # that they see, again and again; 1.2 GB
    steps: int = 300
    host: Gemma2Config = Gemma2Config()  # Gemma-2-2B's shape is the default
    hosted: tuple[int, int] = (2304, 65_536)  # d_in, d_sae of the SAE beside the host
    encoded: tuple[int, int, int] = (768, 24_576, 32)  # d_in, d_sae, k


FULL = Sizes()


def run(device: str = "cuda", sizes: Sizes = FULL) -> dict[str, Any]:
    """Milliseconds, medians; ``not_run`` where there is no device."""
    if device == "cuda" and not torch.cuda.is_available():
        return {"not_run": "no CUDA device"}
    where = torch.device(device)
    name = torch.cuda.get_device_name() if device == "cuda" else device
    found: dict[str, Any] = {"device": name, "gate_path": kernels.backend(device)}
    with training("tf32"):
        found["ceilings"] = ceilings = _ceilings(where, sizes)
        found["shapes"] = [_kept(lambda s=shape: _shape(where, *s, sizes.batch, ceilings)) for shape in sizes.shapes]
        found["fine_tunes"] = _kept(lambda: _fine_tunes(where, sizes))
        found["beside_the_host"] = _kept(lambda: _beside(where, sizes))
    found["encode"] = _kept(lambda: _encode(where, *sizes.encoded, sizes.batch))
    return found


def _kept(part: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a part found, said at once: a lent device may be gone before all are through. Or that memory was short."""
    try:
        found = part()
    except torch.OutOfMemoryError as error:
        found = {"out_of_memory": str(error)}
    print(json.dumps(found), file=sys.stderr, flush=True)
    return found


def _ceilings(where: torch.device, sizes: Sizes) -> dict[str, float]:
    rates = {f"matmul_{name}_tflops": _matmul(where, dtype, sizes.multiplied) for name, dtype in DTYPES.items()}
    return {"copy_gb_s": _copy(where, sizes.copied), **rates}


def _ms(function: Callable[[], Any], where: torch.device) -> float:
    """Median of one call, warm; by events of the device."""
    for _ in range(WARM):
        function()
    times = []
    for _ in range(ROUNDS):
        if where.type == "cpu":
            start = time.perf_counter()
            function()
            times.append(1e3 * (time.perf_counter() - start))
            continue
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        function()
        last.record()
        torch.cuda.synchronize()
        times.append(first.elapsed_time(last))
    return sorted(times)[ROUNDS // 2]


def _seconds(function: Callable[[], Any], where: torch.device) -> float:
    """Of one call, until the device is through."""
    start = time.perf_counter()
    function()
    if where.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _peak_gb(where: torch.device) -> float | None:
    """Since it was asked last; None on a CPU."""
    if where.type == "cpu":
        return None
    peak = torch.cuda.max_memory_allocated() / 1e9
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return peak


def _copy(where: torch.device, n: int) -> float:
    a = torch.empty(n, device=where)
    b = torch.empty_like(a)
    return 2 * a.nbytes / _ms(lambda: b.copy_(a), where) / 1e6


def _matmul(where: torch.device, dtype: torch.dtype, n: int) -> float:
    a, b = (torch.randn(n, n, device=where, dtype=dtype) for _ in range(2))
    return 2 * n**3 / _ms(lambda: a @ b, where) / 1e9


def _shape(where: torch.device, d_in: int, d_sae: int, batch: int, ceilings: dict[str, float]) -> dict[str, Any]:
    """Gate and step at one shape: time, share of the floor, peak memory, and what 22,000 steps take."""
    found: dict[str, Any] = {"d_in": d_in, "d_sae": d_sae, "batch": batch}
    for name, dtype in DTYPES.items():
        size = batch * d_sae * dtype.itemsize
        floor = 1e3 * (
            5 * 2 * batch * d_in * d_sae / (1e12 * ceilings[f"matmul_{name}_tflops"])
            + (PASSES * size + ADAM * 2 * d_in * d_sae) / (1e9 * ceilings["copy_gb_s"])
        )
        found[name] = {"floor_ms": floor, **_gate(where, (batch, d_sae), dtype, size, ceilings["copy_gb_s"])}
        for what, gate, path in CONTESTANTS:
            _peak_gb(where)
            fine_tune = ours(gate(), d_in, d_sae, batch, where.type, name, path)
            x = torch.randn(batch, d_in, device=where)
            first = _seconds(lambda f=fine_tune, x=x: f.advance(x), where)
            step = _ms(lambda f=fine_tune, x=x: f.advance(x), where)
            del fine_tune
            found[name][what] = {
                "first_step_s": first,
                "step_ms": step,
                "step_over_floor": step / floor,
                "22k_steps_s": first + STEPS * step / 1e3,
                "peak_gb": _peak_gb(where),
            }
    return found


def _gate(
    where: torch.device, shape: tuple[int, int], dtype: torch.dtype, size: int, copy_gb_s: float
) -> dict[str, float]:
    """Forward and backward, and what share of the copy's bandwidth its five passes get."""
    h = torch.randn(shape, device=where, dtype=dtype, requires_grad=True)
    g, gate = torch.randn_like(h), rational(DEGREE, 1).to(where)

    def both(function: Any) -> None:
        h.grad = None
        function(h).backward(g)

    ms, relu_ms = _ms(lambda: both(gate), where), _ms(lambda: both(torch.relu), where)
    return {"gate_ms": ms, "relu_ms": relu_ms, "gate_share_of_bandwidth": PASSES * size / ms / 1e6 / copy_gb_s}


def _encode(where: torch.device, d_in: int, d_sae: int, k: int, n_tok: int) -> dict[str, Any]:
    """A TopK teacher, its resolvent and its pruned resolvent, in fp32; and how many times the teacher's time."""
    with torch.no_grad():
        ms = {name: _ms(run, where) for name, run in contestants(d_in, d_sae, k, n_tok, where).items()}
    ratios = {f"{name}_over_teacher": ms[name] / ms["teacher"] for name in ms if name != "teacher"}
    return {"d_in": d_in, "d_sae": d_sae, "k": k, "n_tok": n_tok, **{f"{n}_ms": v for n, v in ms.items()}, **ratios}


def _fine_tunes(where: torch.device, sizes: Sizes) -> dict[str, Any]:
    """What 22,000 steps of the product's take with their batches, by where the rows are; in bf16.

    Reading a pool is counted apart, for it is done once; at full size the one that shards pass through, 1 GiB, is
    smaller than the data.
    """
    d_in, d_sae = sizes.trained
    path = compiled_step.mode(where.type, STEPS)
    found: dict[str, Any] = {"d_in": d_in, "d_sae": d_sae, "tokens": sizes.tokens, "steps": sizes.steps, "path": path}
    with tempfile.TemporaryDirectory() as name:
        n = sizes.tokens
        x = np.random.default_rng(0).standard_normal((n, d_in), np.float32).astype(np.float16)
        block = Block(np.zeros(n, np.int32), np.arange(n, dtype=np.int32), x)
        write(
            Path(name, "shards"), [block], n_tok=n, n_shards=4, dtype="float16", hook="h", documents=["one"],
            made_from={},
        )  # fmt: skip
        shards = Shards(Path(name, "shards"))
        every = shards.n_tok * shards.row_bytes
        places: dict[str, Callable[[], Any]] = {
            "in main memory": lambda: resident(shards, every),
            "on the device": lambda: resident(shards, every, where),
            "in shards": lambda: shards,
        }
        places["in main memory"]()  # every shard's sha256 is verified at its first reading
        for place, load in places.items():
            start = time.perf_counter()
            data = load()
            read, run = time.perf_counter() - start, ours(rational(DEGREE, 1), d_in, d_sae, 1, where.type, "bf16", path)
            stream = batches(data, sizes.batch, 0, pool=GIB, device=where)

            def steps(n: int, run: Any = run, stream: Any = stream) -> None:
                for _ in range(n):
                    run.advance(next(stream))

            steps(WARM)
            took = _seconds(lambda steps=steps: steps(sizes.steps), where)
            found[place] = {"reading_s": read, "22k_steps_s": STEPS * took / sizes.steps}
    return found


def _beside(where: torch.device, sizes: Sizes) -> dict[str, Any]:
    """Memory of one step of a wide SAE's fine-tune while the host, in fp32 and with random weights, is there too."""
    _peak_gb(where)
    with torch.device(where):
        host = Gemma2ForCausalLM(sizes.host)
    d_in, d_sae = sizes.hosted
    path = compiled_step.mode(where.type, STEPS)
    fine_tune = ours(rational(DEGREE, 1), d_in, d_sae, sizes.batch, where.type, "bf16", path)
    x = torch.randn(sizes.batch, d_in, device=where)
    for _ in range(2):  # the first makes Adam's moments
        fine_tune.advance(x)
    parameters = sum(p.numel() for p in host.parameters())
    return {"d_in": d_in, "d_sae": d_sae, "host_parameters": parameters, "peak_gb": _peak_gb(where)}
