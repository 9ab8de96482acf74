"""A gate from what it saved: the inverse of its ``described()`` and ``tensors()``."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from rsae.gates.base import Gate
from rsae.gates.jumprelu import JumpReLU
from rsae.gates.polynomial import Polynomial
from rsae.gates.rational import Rational
from rsae.gates.relu import ReLU
from rsae.gates.rescaled import Rescaled
from rsae.gates.supported import Supported
from rsae.gates.topk import TopK
from rsae.rational.safe_pade import SafePade


def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Gate:
    """The gate whose ``architecture`` and settings stand in ``cfg``.

    Raises:
        KeyError: a setting or a tensor is missing.
        ValueError: no gate has that name.
    """

    def part(name: str) -> Gate:
        return restore(cfg[name], {k.removeprefix(f"{name}."): v for k, v in tensors.items()})

    match cfg["architecture"]:
        case "standard":
            return ReLU()
        case "topk":
            return TopK(int(cfg["k"]))
        case "jumprelu":
            return JumpReLU(tensors["threshold"], cfg.get("jumprelu_bandwidth", 0.05))
        case "rsae":
            num, den = (tensors[k].detach().double().numpy() for k in ("num", "den"))
            form = SafePade(num, den, cfg["center"])
            return Rational(form, tensors["c_in"], tensors["c_out"], cfg["tail"])
        case "polynomial":
            return Polynomial(tensors["coefficients"])
        case "rescaled":
            return Rescaled(part("base"), tensors["log_scale"])
        case "supported":
            return Supported(part("base"), part("curve"))
        case other:
            raise ValueError(f"unknown architecture {other!r}")
