"""What several stages do alike: set up torch, read activations in chunks, load an SAE."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rsae.arms import Arm
from rsae.data.activations.batches import resident
from rsae.data.activations.shards import Shards
from rsae.runtime.device import device
from rsae.runtime.files import sha256
from rsae.runtime.fingerprint import code_digest
from rsae.runtime.resources import GIB, training
from rsae.sae.model import SAE, WEIGHTS

CHUNK = 2048  # tokens; times d_sae floats is the working memory


def set_up_torch() -> None:
    """One thread, no subnormal numbers, and large pages.

    Parallelism is between jobs, so results do not depend on the cores. High powers of a small
    pre-activation and their gradients fall below 1e-38, where a processor takes a hundred times
    as long per operation: such numbers are read and written as 0. A new tensor of 64 MB costs 27 ms
    where the system hands it out in pages of 4 KB, and 4 ms in pages of 2 MB, for which torch asks
    if it is told so before its first tensor.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def chunks(shards: Shards) -> Iterator[Tensor]:
    """Activations in fp32, :data:`CHUNK` tokens at a time, on the device."""
    for block in shards.blocks():
        yield from torch.from_numpy(block.x.astype("float32")).to(device()).split(CHUNK)


def read_once(shards: Shards, teacher: SAE, pool_gib: int, batch: int) -> Tensor | Shards:
    """What fine-tunes of ``teacher`` read: rows beside them on a GPU, or in memory, or the shards themselves."""
    needed = training(teacher.d_in, teacher.d_sae, batch)
    return resident(shards, pool_gib * GIB, device(), needed)


def load(folder: Path) -> SAE:
    """An SAE, on the device."""
    return SAE.load(folder).to(device())


def digests(saes: Mapping[tuple[str, int], Path]) -> list[tuple[str, int, str]]:
    """Each SAE and the sha256 of its settings, which hold that of its weights."""
    return [(*cell, sha256(folder / "cfg.json")) for cell, folder in saes.items()]


def trained_from(stage: str, arm: Arm, activations: Path, start: Path) -> dict[str, Any]:
    """What a training depends on, beside its settings: a checkpoint of anything else is not continued."""
    return {
        "arm": arm.name,
        "code": [code_digest(module) for module in (stage, arm.module)],
        "data": sha256(activations / "manifest.json"),
        "start": sha256(start / WEIGHTS),
    }
