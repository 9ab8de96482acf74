"""What a checkpoint holds once its layout is understood, and its settling into the skeleton."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rsae.config.types import Kind
from rsae.runtime.caller import word
from rsae.sae.gates.base import Gate
from rsae.sae.gates.jumprelu import JumpReLU
from rsae.sae.gates.relu import ReLU
from rsae.sae.gates.topk import TopK
from rsae.sae.loading.said import completed, count
from rsae.sae.model import LINEAR, SAE, Normalization

# gates of other people's SAEs that the skeleton cannot hold: a piece of their name, and what they are
UNSUPPORTED = {
    "gated": "Gated (two encoders that share weights)",
    "prolu": "ProLU (a gate with a bias of its own)",
    "tanh": "tanh-ReLU",
    "matching_pursuit": "matching pursuit (an iterative encoder)",
    "temporal": "temporal (its codes read earlier tokens)",
    "transcoder": "transcoder (it predicts another site)",
}


class Weights(NamedTuple):
    """One SAE, oriented as in the skeleton, before anything is folded into it.

    It reads (x - ``input_mean``) · ``input_scale`` (then layer-normalised, where it says so) and its
    output is taken back the same way. ``rescaled``: TopK selects by |z| · ‖W_dec‖.
    """

    kind: Kind
    W_enc: Tensor  # [d_in, d_sae]
    b_enc: Tensor  # [d_sae]
    W_dec: Tensor  # [d_sae, d_in]
    b_dec: Tensor  # [d_in]
    apply_b_dec_to_input: bool
    k: Any = None  # as its writer has it: see rsae.sae.loading.said.count
    threshold: Tensor | None = None  # [d_sae], in units of h
    normalize_activations: Normalization = "none"
    input_mean: Tensor | None = None  # [d_in], in activation units
    input_scale: float = 1.0
    rescaled: bool = False
    hook: str | None = None  # the site that it was trained on, where its files say so
    said: frozenset[str] = frozenset()  # which of these fields stand in the files, and are not this layout's custom


def refuse_unsupported(name: str, what: str) -> None:
    """Raise a ValueError that names the gate, if ``name`` is one that the skeleton cannot hold."""
    for piece, gate in UNSUPPORTED.items():
        if piece in name.lower():
            raise ValueError(
                f"{what} is of class {name}: {gate} is not yet supported; take a ReLU, JumpReLU or TopK SAE"
            )


def with_stated(w: Weights, stated: Mapping[str, Any] | None, what: str) -> Weights:
    """The weights, completed by what their owner knows.

    Raises:
        ValueError: the files say otherwise.
    """
    said = {name: getattr(w, name) for name in w.said}
    if w.k is not None:
        said["k"] = count(w.k, len(w.b_enc), what)
    return w._replace(**completed(said, stated, what))


def settle(w: Weights, what: str, bandwidth: float) -> SAE:
    """Fold scale, centring and decoder norms away; the function x -> x_hat stays the same.

    With s the scale, m the mean: h = W_encᵀ(s(x - m) - b_dec) + b_enc and x_hat = (W_decᵀz + b_dec)/s + m,
    which are the skeleton's own equations with W_enc·s, W_dec/s, b_dec/s + m (and, where b_dec is not
    subtracted from the input, b_enc - s·mᵀW_enc).

    Raises:
        ValueError: a weight is not finite, shapes clash, or normalisations cannot be combined.
    """
    W_enc, b_enc, W_dec, b_dec = (t.detach().float() for t in (w.W_enc, w.b_enc, w.W_dec, w.b_dec))
    if w.normalize_activations != "none" and (w.input_mean is not None or w.input_scale != 1):
        raise ValueError(f"{what}: layer_norm together with a scale or a mean of the input is not supported")
    _check_shapes(w, what)
    if w.rescaled:
        norm = W_dec.norm(dim=1).clamp_min(1e-8)
        W_enc, b_enc, W_dec = W_enc * norm, b_enc * norm, W_dec / norm[:, None]
    W_enc, W_dec, b_dec = W_enc * w.input_scale, W_dec / w.input_scale, b_dec / w.input_scale
    if w.input_mean is not None:
        if not w.apply_b_dec_to_input:
            b_enc = b_enc - w.input_mean @ W_enc
        b_dec = b_dec + w.input_mean
    sae = SAE(
        W_enc,
        b_enc,
        W_dec,
        b_dec,
        _gate(w, what, bandwidth),
        apply_b_dec_to_input=w.apply_b_dec_to_input,
        normalize_activations=w.normalize_activations,
    )
    for name, tensor in [*((n, getattr(sae, n)) for n in LINEAR), *sae.gate.tensors().items()]:
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{what}: {name} holds NaN or infinity")
    return sae


def _check_shapes(w: Weights, what: str) -> None:
    if w.W_enc.ndim != 2:
        raise ValueError(f"{what}: W_enc has shape {tuple(w.W_enc.shape)}, expected (d_in, d_sae)")
    d_in, d_sae = w.W_enc.shape
    wanted = {"b_enc": (d_sae,), "W_dec": (d_sae, d_in), "b_dec": (d_in,), "input_mean": (d_in,)}
    found = {name: getattr(w, name) for name in wanted}
    if w.threshold is not None and w.threshold.ndim:
        wanted["threshold"], found["threshold"] = (d_sae,), w.threshold
    for name, tensor in found.items():
        if tensor is not None and tuple(tensor.shape) != wanted[name]:
            raise ValueError(
                f"{what}: {name} has shape {tuple(tensor.shape)}, expected {wanted[name]} beside W_enc"
                f" {tuple(w.W_enc.shape)}; is one of them transposed?"
            )


def _gate(w: Weights, what: str, bandwidth: float) -> Gate:
    match w.kind:
        case "relu":
            return ReLU()
        case "topk":
            if w.k is None:
                raise ValueError(f"{what} does not say how many features it keeps; state `{word('k')}`")
            return TopK(count(w.k, len(w.b_enc), what))
        case "jumprelu":
            if w.threshold is None:
                raise ValueError(f"{what} has no `threshold`; is it a ReLU SAE?")
            return JumpReLU(w.threshold.detach().float().expand(w.b_enc.shape), bandwidth)
