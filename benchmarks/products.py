"""What is below every step on a CPU: products of matrices by the library that the product takes, and new tensors."""

import os
import subprocess
import sys
from typing import Any

import torch

from benchmarks.timing import ROUNDS, alternate, row
from rsae.runtime.matmul import affine, backend

SHAPES = [(4096, 256, 4096), (1024, 768, 3072)]  # tokens, width, features: a step's encoder, a layer of GPT-2 small
NEW = """
import statistics, time, torch
torch.set_num_threads(1)
seconds = []
for _ in range(9):
    start = time.perf_counter()
    torch.empty(1 << 24).fill_(0)
    seconds.append(time.perf_counter() - start)
print(statistics.median(seconds))
"""


def products(n: int, d: int, m: int) -> dict[str, list[float]]:
    """Seconds of X W + b and its gradients in W and b, as in an encoder."""
    x, g = torch.randn(n, d), torch.randn(n, m)
    W, b = (torch.randn(*size).requires_grad_() for size in ((d, m), (m,)))

    def both(product: Any) -> None:
        W.grad = b.grad = None
        product().backward(g)

    return alternate(
        {"ours": lambda: both(lambda: affine(x, W, b)), "addmm": lambda: both(lambda: torch.addmm(b, x, W))}
    )


def new_tensors() -> dict[str, list[float]]:
    """Seconds until 64 MB of a new tensor are written, in pages of 4 KB and of 2 MB: a process of its own each."""
    seconds: dict[str, list[float]] = {"small": [], "large": []}
    for _ in range(ROUNDS):
        for name, wanted in (("small", "0"), ("large", "1")):
            env = os.environ | {"THP_MEM_ALLOC_ENABLE": wanted}
            found = subprocess.run([sys.executable, "-c", NEW], capture_output=True, text=True, env=env, check=True)
            seconds[name].append(float(found.stdout))
    return seconds


def run() -> list[dict]:
    """Nothing must be reached: what it is depends on the processor, and on the system's large pages."""
    torch.manual_seed(0)
    rows = [
        row(
            f"product of {n} x {d} by {d} x {m} and gradients, {backend()} against torch",
            products(n, d, m),
            "ours",
            "addmm",
        )
        for n, d, m in SHAPES
    ]
    return [*rows, row("a new tensor of 64 MB, large pages against small ones", new_tensors(), "large", "small")]
