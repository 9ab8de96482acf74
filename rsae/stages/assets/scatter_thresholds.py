"""A JumpReLU teacher with badly set thresholds: a stress case, made and not trained."""

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from rsae.runtime.files import replacing, sha256
from rsae.sae.model import CFG, WEIGHTS
from rsae.stages.assets.train_host import write_card


def run(teacher: Path, out: Path, *, scatter: float, seed: int) -> None:
    """Multiply each threshold of a sae_lens folder by exp(``scatter`` · z), z standard normal.

    Raises:
        ValueError: the teacher has no thresholds.
    """
    tensors = load_file(teacher / WEIGHTS)
    if "threshold" not in tensors:
        raise ValueError(f"teacher {teacher} has no thresholds to scatter; `scatter` is for a JumpReLU")
    z = torch.randn(tensors["threshold"].shape, generator=torch.Generator().manual_seed(seed))
    tensors["threshold"] = tensors["threshold"] * (scatter * z).exp()
    with replacing(out) as temporary:
        temporary.mkdir()
        shutil.copyfile(teacher / CFG, temporary / CFG)
        save_file(tensors, temporary / WEIGHTS)
        made_from = {name: sha256(teacher / name) for name in (CFG, WEIGHTS)}
        write_card(temporary, {"recipe": {"scatter": scatter, "seed": seed}, "teacher": made_from})
