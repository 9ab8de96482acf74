"""Gemma Scope: one ``params.npz`` of a JumpReLU SAE that does not subtract b_dec from its input."""

from pathlib import Path

import numpy as np
import torch

from rsae.runtime.files import reading
from rsae.sae.loading.weights import Weights

TENSORS = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")


def read(folder: Path, what: str) -> Weights:
    """The weights in ``folder/params.npz``; no pickle is ever opened.

    Raises:
        ValueError: the file is missing, truncated, or an array is missing.
    """
    path = folder / "params.npz"
    with reading(path, "fetch it again"), np.load(path, allow_pickle=False) as data:
        arrays = {("W_" + k[2:] if k.startswith("w_") else k): torch.from_numpy(data[k]) for k in data}
    missing = [name for name in TENSORS if name not in arrays]
    if missing:
        raise ValueError(f"{what}: params.npz lacks {', '.join(missing)}")
    scale = arrays.pop("scaling_factor", torch.ones(()))
    if not bool((scale == 1).all()):
        raise ValueError(f"{what}: params.npz carries a scaling_factor that is not 1, which is not supported")
    W_enc, b_enc, W_dec, b_dec, threshold = (arrays[name] for name in TENSORS)
    return Weights("jumprelu", W_enc, b_enc, W_dec, b_dec, False, threshold=threshold)
