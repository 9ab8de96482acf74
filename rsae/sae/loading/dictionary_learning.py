"""dictionary_learning and SAEBench: ``ae.pt`` beside a ``config.json``, or a checkpoint alone."""

import json
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from rsae.config.types import Kind
from rsae.runtime.files import reading, short
from rsae.sae.loading.weights import Weights, refuse_unsupported
from rsae.sae.model import LINEAR


class Class(NamedTuple):
    """One of dictionary_learning's classes: its gate, whether its encoder subtracts b_dec."""

    kind: Kind
    apply_b_dec_to_input: bool


CLASSES = {
    "AutoEncoder": Class("relu", True),
    "AutoEncoderNew": Class("relu", False),
    "AutoEncoderTopK": Class("topk", True),
    # trained as TopK over a batch, used with one threshold for all features
    "BatchTopKSAE": Class("jumprelu", True),
    "MatryoshkaBatchTopKSAE": Class("jumprelu", True),
    "JumpReluAutoEncoder": Class("jumprelu", False),
}
# name in the skeleton: names in files, with whether that one is stored transposed (nn.Linear)
NAMES = {
    "W_enc": {"W_enc": False, "encoder.weight": True},
    "b_enc": {"b_enc": False, "encoder.bias": False},
    "W_dec": {"W_dec": False, "decoder.weight": True},
    "b_dec": {"b_dec": False, "bias": False, "decoder.bias": False},
    "k": {"k": False},
    "threshold": {"threshold": False},
    "input_mean": {"input_mean": False},
    "input_scale": {"input_scale": False},
}
# bookkeeping of trainers that says nothing about the function
IGNORED = {"group_sizes", "num_batches_not_active", "active_groups"}


def read(path: Path, what: str, kind: Kind) -> Weights:
    """A folder with ``config.json``, or a file; ``kind`` settles what a lone file leaves open.

    Raises:
        ValueError: unreadable, a pickle that holds more than tensors, a tensor missing or unknown, a
            class that the skeleton cannot hold, a BatchTopK whose inference threshold was never set.
    """
    file = path / "ae.pt" if path.is_dir() else path
    tensors = _settled_names(_tensors(file, what), what)
    trainer = _trainer(path / "config.json", what) if path.is_dir() else {}
    name = trainer.get("dict_class") or _guess(tensors, kind, what)
    if name not in CLASSES:
        refuse_unsupported(name, what)
        raise ValueError(f"{what} is of class {name}; supported are {', '.join(CLASSES)}")
    threshold = tensors.get("threshold")
    if CLASSES[name].kind == "jumprelu" and threshold is not None and threshold.ndim == 0 and float(threshold) < 0:
        raise ValueError(f"{what}: the inference threshold of this BatchTopK SAE was never set ({float(threshold):g})")
    k = tensors.get("k", trainer.get("k"))
    W_enc, b_enc, W_dec, b_dec = (tensors[n] for n in LINEAR)
    return Weights(
        CLASSES[name].kind,
        W_enc,
        b_enc,
        W_dec,
        b_dec,
        CLASSES[name].apply_b_dec_to_input,
        k=None if k is None else int(k),
        threshold=threshold,
        hook=trainer.get("submodule_name"),
        input_mean=tensors.get("input_mean"),
        input_scale=float(tensors.get("input_scale", 1.0)),
    )


def _tensors(file: Path, what: str) -> dict[str, Tensor]:
    with reading(file, "fetch it again"):
        if file.suffix == ".safetensors":
            return load_file(file)
        try:
            # weights_only: nothing that a pickle could run is run
            found = torch.load(file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise ValueError(
                "not a plain file of tensors, and whatever else it holds is not run; its owner can save its"
                " state_dict() as .safetensors"
            ) from error
    for wrapper in ("state_dict", "model_state_dict"):
        if isinstance(found, dict) and isinstance(found.get(wrapper), dict):
            found = found[wrapper]
    if not isinstance(found, dict) or not all(isinstance(v, Tensor | int | float) for v in found.values()):
        raise ValueError(f"{what}: {file.name} is not a state_dict of tensors")
    return {str(k): torch.as_tensor(v) for k, v in found.items()}


def _settled_names(found: dict[str, Tensor], what: str) -> dict[str, Tensor]:
    known = {alias: (name, turn) for name, aliases in NAMES.items() for alias, turn in aliases.items()}
    if {"gate_bias", "r_mag"} & set(found):
        refuse_unsupported("gated", what)
    unknown = sorted(set(found) - set(known) - IGNORED)
    if unknown:
        raise ValueError(f"{what} holds tensors of no known layout: {', '.join(unknown)}; known are {_list(known)}")
    tensors = {known[k][0]: v.T if known[k][1] else v for k, v in found.items() if k in known}
    missing = [n for n in LINEAR if n not in tensors]
    if missing:
        raise ValueError(f"{what} lacks {', '.join(missing)}; it holds {_list(found)}")
    if "decoder.bias" in found:
        tensors["decoder.bias"] = found["decoder.bias"]  # tells AutoEncoderNew from AutoEncoder
    return tensors


def _trainer(config: Path, what: str) -> dict[str, Any]:
    try:
        return dict(json.loads(config.read_text())["trainer"])
    except Exception as error:  # of json, and of an entry of another type
        raise ValueError(f"{what}: config.json has no readable `trainer` entry ({short(error)})") from error


def _guess(tensors: dict[str, Tensor], kind: Kind, what: str) -> str:
    """The class of a checkpoint that comes without a config, by what it holds."""
    if "threshold" in tensors and kind == "jumprelu":
        return "BatchTopKSAE" if "k" in tensors else "JumpReluAutoEncoder"
    if "k" in tensors or kind == "topk":
        return "AutoEncoderTopK"
    if kind == "relu" and "threshold" not in tensors:
        return "AutoEncoderNew" if "decoder.bias" in tensors else "AutoEncoder"
    raise ValueError(f"{what} holds {_list(tensors)}, which does not fit kind: {kind}; correct `kind`")


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
