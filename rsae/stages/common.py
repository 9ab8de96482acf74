"""What several stages do alike: read activations in chunks, settle a support."""

import math
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from rsae.sae import SAE
from rsae.shards import Shards
from rsae.support import mean_l0, smallest_eps

CHUNK = 2048  # tokens; times d_sae floats is the working memory


def set_up_torch() -> None:
    """One thread, and no subnormal numbers.

    Parallelism is between jobs, so results do not depend on the cores. High powers of a small
    pre-activation and their gradients fall below 1e-38, where a processor takes a hundred times
    as long per operation: such numbers are read and written as 0.
    """
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def chunks(shards: Shards) -> Iterator[Tensor]:
    """Activations in fp32, :data:`CHUNK` tokens at a time."""
    for block in shards.blocks():
        yield from torch.from_numpy(block.x.astype("float32")).split(CHUNK)


def settle_support(sae: SAE, teacher: SAE, threshold: Path) -> None:
    """Freeze eps on the ``threshold`` documents so that mean L0 is at most the teacher's there."""
    if not sae.gate.exact_zeros:
        data = list(chunks(Shards(threshold)))
        sae.eps = 0.0
        sae.eps = smallest_eps(sae, data, mean_l0(teacher, data))
        if not math.isfinite(sae.eps):
            raise ValueError(
                f"codes on {threshold} are not finite, so no support can be settled: pre-activations leave the range of"
                " the gate; lower `slow_lr` of this teacher, or set `gate.tail: true`"
            )
