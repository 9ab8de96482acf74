"""Tiny random SAEs written in the layouts in which public ones come, by nobody's loader."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file


def tensors(d_in: int, d_sae: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights with decoder rows of differing norms and a large b_dec, so that every mix-up shows."""
    g = torch.Generator().manual_seed(seed)
    W_dec = torch.randn(d_sae, d_in, generator=g)
    W_dec = W_dec / W_dec.norm(dim=1, keepdim=True) * torch.linspace(0.7, 1.4, d_sae)[:, None]
    return {
        "W_enc": W_dec.T + 0.1 * torch.randn(d_in, d_sae, generator=g),
        "b_enc": 0.1 * torch.randn(d_sae, generator=g) - 0.3,
        "W_dec": W_dec,
        "b_dec": torch.randn(d_in, generator=g),
        "threshold": 0.1 + torch.rand(d_sae, generator=g),
    }


def sae_lens(folder: Path, w: dict[str, torch.Tensor], **cfg: Any) -> Path:
    """Today's sae_lens."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ["W_enc", "b_enc", "W_dec", "b_dec"] + ["threshold"] * (cfg.get("architecture") == "jumprelu")
    save_file({k: w[k].contiguous() for k in names}, folder / "sae_weights.safetensors")
    shape = {"d_in": w["W_enc"].shape[0], "d_sae": w["W_enc"].shape[1]}
    base = {
        "architecture": "standard",
        "dtype": "float32",
        "device": "cpu",
        "metadata": {"sae_lens_version": "6.54.12"},
    }
    (folder / "cfg.json").write_text(json.dumps({**base, **shape, **cfg}))
    return folder


def sae_lens_before_6(folder: Path, w: dict[str, torch.Tensor], **cfg: Any) -> Path:
    """sae_lens before version 6, as the GPT-2 checkpoints are: every key of the run in one file."""
    sae_lens(folder, w)
    old = {
        "hook_point": "blocks.8.hook_resid_pre", "d_in": w["W_enc"].shape[0], "d_sae": w["W_enc"].shape[1],
        "dtype": "torch.float32", "device": "cpu", "model_name": "gpt2-small", "is_training": False,
    }  # fmt: skip
    (folder / "cfg.json").write_text(json.dumps({**old, **cfg}))
    return folder


def gemma_scope(folder: Path, w: dict[str, torch.Tensor]) -> Path:
    """DeepMind's npz."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays: Any = {k: w[k].numpy() for k in ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")}
    np.savez(folder / "params.npz", **arrays)
    return folder


def state_dict(name: str, w: dict[str, torch.Tensor], k: int = 4, threshold: float = 0.5) -> dict[str, torch.Tensor]:
    """As dictionary_learning's class ``name`` saves itself."""
    linear = {"encoder.weight": w["W_enc"].T, "encoder.bias": w["b_enc"], "decoder.weight": w["W_dec"].T}
    own = {n: w[n] for n in ("W_enc", "b_enc", "W_dec", "b_dec")}
    selected = {"k": torch.tensor(k), "threshold": torch.tensor(threshold)}
    found = {
        "AutoEncoder": {**linear, "bias": w["b_dec"]},
        "AutoEncoderNew": {**linear, "decoder.bias": w["b_dec"]},
        "AutoEncoderTopK": {**linear, "b_dec": w["b_dec"], **selected},
        "BatchTopKSAE": {**linear, "b_dec": w["b_dec"], **selected},
        "MatryoshkaBatchTopKSAE": {**own, **selected},
        "JumpReluAutoEncoder": {**own, "threshold": w["threshold"]},
        "GatedAutoEncoder": {**linear, "decoder_bias": w["b_dec"], "r_mag": w["b_enc"], "gate_bias": w["b_enc"]},
    }[name]
    return {k: v.contiguous() for k, v in found.items()}


def dictionary_learning(folder: Path, name: str, w: dict[str, torch.Tensor], k: int = 4, **trainer: Any) -> Path:
    """A folder of dictionary_learning or SAEBench."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state_dict(name, w, k), folder / "ae.pt")
    entry = {
        "dict_class": name, "activation_dim": w["W_enc"].shape[0], "dict_size": w["W_enc"].shape[1], "layer": 8,
        "lm_name": "EleutherAI/pythia-160m-deduped", "submodule_name": "resid_post_layer_8", "k": k, **trainer,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps({"trainer": entry, "buffer": {"ctx_len": 1024}}))
    return folder
