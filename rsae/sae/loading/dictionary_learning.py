"""dictionary_learning and SAEBench: ``ae.pt`` beside a ``config.json``, or a checkpoint alone."""

import json
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from rsae.config.types import Kind
from rsae.runtime.files import reading, short
from rsae.sae.loading.said import account
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
# a trainer that says nothing of the class it trains: the class
TRAINERS = {
    "StandardTrainer": "AutoEncoder",
    "StandardTrainerAprilUpdate": "AutoEncoder",
    "PAnnealTrainer": "AutoEncoder",
    "StandardTrainerNew": "AutoEncoderNew",
    "TopKTrainer": "AutoEncoderTopK",
    "TrainerTopK": "AutoEncoderTopK",
    "BatchTopKTrainer": "BatchTopKSAE",
    "MatryoshkaBatchTopKTrainer": "MatryoshkaBatchTopKSAE",
    "JumpReluTrainer": "JumpReluAutoEncoder",
    "GatedSAETrainer": "GatedAutoEncoder",
    "GatedAnnealTrainer": "GatedAutoEncoder",
}
# bookkeeping of trainers that says nothing about the function
IGNORED = {"group_sizes", "num_batches_not_active", "active_groups"}
# of config.json's trainer: where, on what and how it was trained. The tensors are as that left them
HARMLESS = (
    "activation_dim", "dict_size", "lr", "steps", "layer", "lm_name", "device", "wandb_name", "seed", "warmup_steps",
    "decay_start", "auxk_alpha", "l1_penalty", "l1_penalty_end", "sparsity_warmup_steps", "sparsity_penalty",
    "sparsity_function", "sparsity_queue_length", "initial_sparsity_penalty", "anneal_start", "anneal_end",
    "p_start", "p_end", "n_sparsity_updates", "resample_steps", "bandwidth", "target_l0", "threshold_beta",
    "threshold_start_step", "top_k_aux", "dead_feature_threshold", "group_fractions", "group_weights", "group_sizes",
    "k_anneal_steps", "use_april_update_mode", "use_threshold", "ctx_len",
)  # fmt: skip
# what stands beside a state_dict in one file
BESIDE = ("epoch", "step", "steps", "optimizer", "optimizer_state_dict", "scheduler", "loss", "args", "seed", "lr")
PREFIXES = ("_orig_mod.", "module.")  # of torch.compile and DataParallel


def read(path: Path, what: str, kind: Kind | None) -> Weights:
    """A folder with ``config.json``, or a file; ``kind`` settles what a lone file leaves open.

    Raises:
        ValueError: unreadable, a pickle that holds more than tensors, a tensor missing or unknown, a
            class that the skeleton cannot hold, a BatchTopK whose inference threshold was never set.
    """
    trainer = _trainer(path / "config.json", what) if path.is_dir() else {}
    tensors = _settled_names(_tensors(path / "ae.pt" if path.is_dir() else path, what), what)
    name = _class(trainer, tensors, kind, what)
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
        k=k,
        threshold=threshold,
        hook=trainer.get("submodule_name"),
        input_mean=tensors.get("input_mean"),
        input_scale=float(tensors.get("input_scale", 1.0)),
        said=frozenset({"apply_b_dec_to_input"} if trainer else set()) | ({"input_scale"} & set(tensors)),
    )


def _tensors(file: Path, what: str) -> dict[str, Tensor]:
    with reading(file, "fetch it again"):
        _recognised(file)
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
            beside, found = {k: v for k, v in found.items() if k != wrapper}, found[wrapper]
            for name in ("cfg", "config"):
                inner = beside.pop(name, {})
                account(
                    inner if isinstance(inner, dict) else {name: inner}, (), HARMLESS, what, f"`{name}` in {file.name}"
                )
            account(beside, (), BESIDE, what, f"{file.name}, beside its `{wrapper}`,")
    if not isinstance(found, dict) or not all(isinstance(v, Tensor | int | float) for v in found.values()):
        raise ValueError(f"{what}: {file.name} is not a state_dict of tensors")
    return {_bare(str(k)): torch.as_tensor(v) for k, v in found.items()}


def _bare(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _recognised(file: Path) -> None:
    """Raises ValueError where the file is something else that people find under such a name."""
    with open(file, "rb") as opened:
        start = opened.read(64).lstrip().lower()
    if start.startswith(b"version https://git-lfs"):
        raise ValueError("a pointer of Git LFS and not the file itself; run `git lfs pull`, or download the file")
    if start.startswith((b"<!doctype html", b"<html")):
        raise ValueError("a web page and not a checkpoint; download the file itself (its address has /resolve/ in it)")


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
    with reading(config, "fetch it again"):
        found = json.loads(config.read_text(encoding="utf-8"))
    if isinstance(found, dict) and {"model_type", "architectures"} & set(found):
        raise ValueError(f"{what} is the folder of a language model ({found.get('model_type')}), and not of an SAE")
    try:
        trainer = dict(found["trainer"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{what}: config.json has no readable `trainer` entry ({short(error)})") from error
    for name in ("dict_class", "trainer_class", "submodule_name"):
        if not isinstance(trainer.get(name), str | None):
            raise ValueError(f"{what}: config.json says {name}: {trainer[name]!r}, which is no name")
    account(trainer, ("dict_class", "trainer_class", "submodule_name", "k"), HARMLESS, what, "config.json's trainer")
    if (side := dict(found.get("buffer") or {}).get("io", "out")) != "out":
        raise ValueError(
            f"{what} was trained on the {side!r} of {trainer.get('submodule_name')}, and `out` is what is read"
        )
    return trainer


def _class(trainer: Mapping[str, Any], tensors: Mapping[str, Tensor], kind: Kind | None, what: str) -> str:
    """The class that the files name, or else its trainer's, or else what the tensors and ``kind`` fit."""
    if name := trainer.get("dict_class"):
        return name
    if (name := trainer.get("trainer_class")) is not None:
        if name not in TRAINERS:
            refuse_unsupported(name, what)
            raise ValueError(
                f"{what} names no class, and its trainer {name} is not known; known are {', '.join(TRAINERS)}"
            )
        return TRAINERS[name]
    threshold = tensors.get("threshold")
    if kind is None and "k" in tensors and threshold is not None and bool((threshold >= 0).all()):
        raise ValueError(
            f"{what} holds k and a threshold: a TopK per token, or a BatchTopK with one threshold, and its files do not"
            " say which; state `kind` (topk or jumprelu)"
        )
    return _guess(tensors, kind or "relu", what)


def _guess(tensors: Mapping[str, Tensor], kind: Kind, what: str) -> str:
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
