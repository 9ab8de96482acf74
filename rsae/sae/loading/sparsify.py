"""EleutherAI's sparsify: ``cfg.json`` and ``sae.safetensors``, a TopK whose encoder subtracts b_dec."""

import json
from pathlib import Path

from safetensors.torch import load_file

from rsae.runtime.files import reading
from rsae.sae.loading.said import account
from rsae.sae.loading.weights import Weights, refuse_unsupported

TENSORS = ("encoder.weight", "encoder.bias", "W_dec", "b_dec")
# sizes that the tensors say too; a decoder that was normalised in training is as it is
HARMLESS = ("expansion_factor", "normalize_decoder", "num_latents", "d_in", "k")
REMEDY = "fetch it again"


def read(folder: Path, what: str) -> Weights:
    """The weights in ``folder``.

    Raises:
        ValueError: a file is missing or truncated, or it is no SAE of one site with a plain TopK.
    """
    with reading(folder / "cfg.json", REMEDY):
        cfg = json.loads((folder / "cfg.json").read_text(encoding="utf-8"))
    with reading(folder / "sae.safetensors", REMEDY):
        tensors = load_file(folder / "sae.safetensors")
    if cfg.get("transcode") or cfg.get("skip_connection") or "W_skip" in tensors:
        refuse_unsupported("transcoder", what)
    if (activation := cfg.get("activation", "topk")) != "topk":
        raise ValueError(f"{what} has the activation {activation!r}; of sparsify's SAEs those with `topk` are read")
    account(cfg, ("activation", "transcode", "skip_connection", "multi_topk"), HARMLESS, what, "cfg.json")
    account(tensors, TENSORS, (), what, "sae.safetensors")
    missing = [name for name in TENSORS if name not in tensors]
    if missing:
        raise ValueError(f"{what}: sae.safetensors lacks {', '.join(missing)}")
    weight, b_enc, W_dec, b_dec = (tensors[name] for name in TENSORS)
    return Weights("topk", weight.T, b_enc, W_dec, b_dec, True, k=cfg.get("k"))
