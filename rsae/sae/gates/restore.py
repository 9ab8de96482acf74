"""A gate from what it saved: the inverse of its ``described()`` and ``tensors()``."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from rsae.rational.safe_pade import SafePade
from rsae.sae.gates.base import Gate
from rsae.sae.gates.jumprelu import JumpReLU
from rsae.sae.gates.mixture import Mixture
from rsae.sae.gates.polynomial import Polynomial
from rsae.sae.gates.rational import Rational
from rsae.sae.gates.relu import ReLU
from rsae.sae.gates.rescaled import Rescaled
from rsae.sae.gates.supported import Supported
from rsae.sae.gates.topk import TopK


def shapes(cfg: Mapping[str, Any], d_sae: int) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor that the gate described by ``cfg`` saves, from ``cfg`` alone.

    Raises:
        KeyError: a setting is missing.
        ValueError: no gate has that name.
    """

    def part(name: str) -> dict[str, tuple[int, ...]]:
        return {f"{name}.{k}": shape for k, shape in shapes(cfg[name], d_sae).items()}

    match cfg["architecture"]:
        case "standard" | "topk":
            return {}
        case "jumprelu":
            return {"threshold": (d_sae,)}
        case "rsae":
            (p, q), n = cfg["degree"], cfg["n_scales"]
            return {"num": (p + 1,), "den": (q + 1,), "c_in": (n,), "c_out": (n,)}
        case "polynomial":
            return {"coefficients": (cfg["degree"] + 1,)}
        case "rescaled":
            return {"log_scale": (d_sae,)} | part("base")
        case "supported":
            return part("base") | part("curve")
        case "mixture":
            curves = [part(f"curve_{m}") for m in range(cfg["n_curves"])]
            return {"logits": (d_sae, cfg["n_curves"])} | {k: v for curve in curves for k, v in curve.items()}
        case other:
            raise ValueError(f"unknown architecture {other!r}")


def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Gate:
    """The gate whose ``architecture`` and settings stand in ``cfg``.

    Raises:
        KeyError: a setting or a tensor is missing.
        ValueError: no gate has that name.
    """

    def part(name: str) -> Gate:
        # its own alone: a gate of the same kind further out has tensors of the same names
        own = {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}
        return restore(cfg[name], own)

    match cfg["architecture"]:
        case "standard":
            return ReLU()
        case "topk":
            return TopK(int(cfg["k"]))
        case "jumprelu":
            return JumpReLU(tensors["threshold"], cfg.get("jumprelu_bandwidth", 0.05))
        case "rsae":
            num, den = (tensors[k].detach().double().cpu().numpy() for k in ("num", "den"))
            form = SafePade(num, den, cfg["center"])
            return Rational(form, tensors["c_in"], tensors["c_out"], cfg["tail"])
        case "polynomial":
            return Polynomial(tensors["coefficients"])
        case "rescaled":
            return Rescaled(part("base"), tensors["log_scale"])
        case "supported":
            return Supported(part("base"), part("curve"))
        case "mixture":
            return Mixture([part(f"curve_{m}") for m in range(cfg["n_curves"])], tensors["logits"])
        case other:
            raise ValueError(f"unknown architecture {other!r}")
