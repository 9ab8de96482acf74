"""How exactly matrix products are computed. Weights, biases, gates, sums and optimiser stay in fp32."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal

import torch

from rsae.config.types import Precision


def training(precision: Precision) -> AbstractContextManager[None]:
    """While weights are trained: fp32 products on a CUDA device through TF32, unless ``fp32`` is asked for.

    TF32 keeps 10 of 23 bits of each factor and sums in fp32. A CPU has no such thing, and computes the same bits as
    ever.
    """
    return _products("ieee" if precision == "fp32" else "tf32")


def forward(precision: Precision, device: str) -> AbstractContextManager[Any]:
    """The forward pass of a step: under ``bf16`` its products read bfloat16 copies of weights and activations."""
    return torch.autocast(device, torch.bfloat16, enabled=precision == "bf16")


@contextmanager
def exact(device: str) -> Iterator[None]:
    """fp32 products whatever is around: for systems of equations, whose solutions magnify rounding."""
    with torch.autocast(device, enabled=False), _products("ieee"):
        yield


@contextmanager
def _products(kind: Literal["ieee", "tf32"]) -> Iterator[None]:
    """On CUDA devices; a CPU's stay exact. While this holds, torch's older switches cannot be read."""
    wanted = {torch.backends.cuda.matmul: kind, torch.backends.mkldnn.matmul: "ieee"}  # type: ignore[attr-defined]
    before = {matmul: matmul.fp32_precision for matmul in wanted}
    try:
        for matmul, precision in wanted.items():
            matmul.fp32_precision = precision
        yield
    finally:
        for matmul, precision in before.items():
            matmul.fp32_precision = precision
