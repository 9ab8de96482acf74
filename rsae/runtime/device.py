"""Where tensors are computed: the first GPU, or the CPU, and what torch is told before its first tensor."""

import os
import platform
from pathlib import Path

import torch


def device() -> torch.device:
    """``RSAE_DEVICE`` (``cpu``, ``cuda``, ``cuda:1``) where set, else a GPU if there is one, else the CPU.

    Under torchrun each process takes a GPU of its own.

    Raises:
        ValueError: ``RSAE_DEVICE`` names no device, or a GPU where there is none.
    """
    own = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"  # torchrun numbers the processes of a machine
    wanted = os.environ.get("RSAE_DEVICE") or (own if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(wanted)
    except RuntimeError:
        found = None
    if found is None or found.type not in ("cpu", "cuda"):
        raise ValueError(f"RSAE_DEVICE must be cpu, cuda or cuda:N, got {wanted!r}")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"RSAE_DEVICE is {wanted}, and torch sees {torch.cuda.device_count()} GPUs here")
    return found


def named() -> str:
    """The device as a person would name it."""
    where = device()
    if where.type == "cuda":
        return torch.cuda.get_device_name(where)
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    models = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return f"CPU: {next(models, platform.machine())}"


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
