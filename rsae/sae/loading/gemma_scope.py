"""Gemma Scope: JumpReLU SAEs that do not subtract b_dec from their input.

The first is one ``params.npz``; the second a ``params.safetensors`` beside a ``config.json`` that says more of it.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from rsae.runtime.files import reading
from rsae.sae.loading.said import account
from rsae.sae.loading.weights import Weights, refuse_unsupported

TENSORS = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")
# of config.json: where and how it was trained
HARMLESS = ("model_name", "width", "l0", "dtype", "hf_hook_point_out", "type", "sae_id", "num_l0_tokens", "layer")
REMEDY = "fetch it again"


def read(path: Path, what: str) -> Weights:
    """The weights in a folder of either, or in a ``params.npz``; no pickle is ever opened.

    Raises:
        ValueError: a file is missing or truncated, an array is missing, or one is of no SAE of a single site.
    """
    cfg: dict[str, Any] = {}
    if path.is_dir() and (path / "params.safetensors").is_file():
        with reading(path / "params.safetensors", REMEDY):
            found = load_file(path / "params.safetensors")
        with reading(path / "config.json", REMEDY):
            cfg = json.loads((path / "config.json").read_text(encoding="utf-8"))
    else:
        file = path if path.is_file() else path / "params.npz"
        with reading(file, REMEDY), np.load(file, allow_pickle=False) as data:
            found = {k: torch.from_numpy(data[k]) for k in data}
    arrays = {("W_" + k[2:] if k.startswith("w_") else k): v for k, v in found.items()}
    if "affine_skip_connection" in arrays or "W_skip" in arrays or cfg.get("affine_connection"):
        refuse_unsupported("transcoder", what)
    missing = [name for name in TENSORS if name not in arrays]
    if missing:
        raise ValueError(f"{what}: its arrays lack {', '.join(missing)}")
    scale = arrays.pop("scaling_factor", torch.ones(()))
    if not bool((scale == 1).all()):
        raise ValueError(f"{what} carries a scaling_factor that is not 1, which is not supported")
    account(arrays, TENSORS, (), what, "its file of arrays")
    if (architecture := cfg.get("architecture", "jump_relu")) != "jump_relu":
        raise ValueError(f"{what} has a {architecture} gate; Gemma Scope's SAEs are jump_relu")
    hooks = {cfg[k] for k in ("hf_hook_point_in", "hf_hook_point_out") if cfg.get(k)}
    if len(hooks) > 1:
        refuse_unsupported("transcoder", what)
    account(
        cfg,
        ("architecture", "affine_connection", "hf_hook_point_in", "hf_hook_point_out"),
        HARMLESS,
        what,
        "config.json",
    )
    W_enc, b_enc, W_dec, b_dec, threshold = (arrays[name] for name in TENSORS)
    return Weights("jumprelu", W_enc, b_enc, W_dec, b_dec, False, threshold=threshold, hook=next(iter(hooks), None))
