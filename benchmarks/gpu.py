"""The paper's shapes on one CUDA device, against ceilings that are measured on the same device in the same run."""

import itertools
import time
from collections.abc import Callable
from typing import Any, get_args

import torch

from benchmarks.gate import rational
from benchmarks.step import ours
from rsae.arms import Precision
from rsae.gates import kernels
from rsae.gates.base import Gate
from rsae.gates.relu import ReLU
from rsae.precision import training
from rsae.upgrade.compiled import Path

SHAPES = [(768, 24_576), (768, 16_384), (2304, 16_384), (2304, 65_536)]  # d_in, d_sae
GATES: dict[str, Callable[[], Gate]] = {"rational": lambda: rational(DEGREE, 1), "relu": ReLU}
BATCH, STEPS, DEGREE = 4096, 22_000, (9, 8)
PASSES, ADAM = 5, 28  # over [batch, d_sae] by the gate; bytes that Adam moves per parameter
WARM, ROUNDS = 3, 10


def run() -> dict[str, Any]:
    """Milliseconds by CUDA events, medians; ``not_run`` where there is no device."""
    if not torch.cuda.is_available():
        return {"not_run": "no CUDA device"}
    with training("tf32"):
        ceilings = {"copy_gb_s": _copy(), **{f"matmul_{name}_tflops": _matmul(d) for name, d in DTYPES.items()}}
        return {
            "device": torch.cuda.get_device_name(),
            "gate_path": kernels.path("cuda"),
            "ceilings": ceilings,
            "shapes": [_shape(d_in, d_sae, ceilings) for d_in, d_sae in SHAPES],
        }


DTYPES: dict[Precision, torch.dtype] = {"tf32": torch.float32, "bf16": torch.bfloat16}


def _ms(function: Callable[[], Any]) -> float:
    """Median of one call, warm."""
    for _ in range(WARM):
        function()
    times = []
    for _ in range(ROUNDS):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        function()
        stop.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(stop))
    return sorted(times)[ROUNDS // 2]


def _copy() -> float:
    a = torch.empty(1 << 28, device="cuda")
    b = torch.empty_like(a)
    return 2 * a.nbytes / _ms(lambda: b.copy_(a)) / 1e6


def _matmul(dtype: torch.dtype) -> float:
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=dtype) for _ in range(2))
    return 2 * 8192**3 / _ms(lambda: a @ b) / 1e9


def _shape(d_in: int, d_sae: int, ceilings: dict[str, float]) -> dict[str, Any]:
    """Gate and step at one shape: time, share of the floor, peak memory, and what 22,000 steps take."""
    found: dict[str, Any] = {"d_in": d_in, "d_sae": d_sae, "batch": BATCH}
    for name, dtype in DTYPES.items():
        size = BATCH * d_sae * dtype.itemsize
        found[name] = _gate(d_sae, dtype, size, ceilings["copy_gb_s"])
        floor = 1e3 * (
            5 * 2 * BATCH * d_in * d_sae / (1e12 * ceilings[f"matmul_{name}_tflops"])
            + (PASSES * size + ADAM * 2 * d_in * d_sae) / (1e9 * ceilings["copy_gb_s"])
        )
        for (gate_name, gate), path in itertools.product(GATES.items(), get_args(Path)):
            torch.cuda.reset_peak_memory_stats()
            fine_tune, x = ours(gate(), d_in, d_sae, BATCH, "cuda", name, path), torch.randn(BATCH, d_in, device="cuda")
            start = time.monotonic()
            fine_tune.advance(x)
            torch.cuda.synchronize()
            first, step = time.monotonic() - start, _ms(lambda f=fine_tune, x=x: f.advance(x))
            found[name][f"{gate_name}_{path}"] = {
                "step_ms": step,
                "step_over_floor": step / floor,
                "peak_gb": torch.cuda.max_memory_allocated() / 1e9,
                "first_step_s": first,
                "22k_steps_s": first + STEPS * step / 1e3,
            }
            del fine_tune
            torch.cuda.empty_cache()
        found[name]["floor_ms"] = floor
    return found


def _gate(d_sae: int, dtype: torch.dtype, size: int, copy_gb_s: float) -> dict[str, float]:
    """Forward and backward, and what share of the copy's bandwidth its five passes get."""
    h = torch.randn(BATCH, d_sae, device="cuda", dtype=dtype, requires_grad=True)
    g, gate = torch.randn_like(h), rational(DEGREE, 1).cuda()

    def both(function: Any) -> None:
        h.grad = None
        function(h).backward(g)

    ms, relu_ms = _ms(lambda: both(gate)), _ms(lambda: both(torch.relu))
    return {"gate_ms": ms, "relu_ms": relu_ms, "gate_share_of_bandwidth": PASSES * size / ms / 1e6 / copy_gb_s}
