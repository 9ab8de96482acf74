"""Where tensors are computed on: the first GPU, or the CPU."""

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
    lines = info.read_text().splitlines() if info.is_file() else []
    models = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return f"CPU: {next(models, platform.machine())}"
