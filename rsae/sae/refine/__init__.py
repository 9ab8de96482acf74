"""What may follow a gate: better magnitudes on the support that the gate chose."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from rsae.sae.refine.base import Refinement
from rsae.sae.refine.pursuit import Pursuit
from rsae.sae.refine.resolvent import Resolvent
from rsae.sae.refine.steps import Steps


def shapes(cfg: Mapping[str, Any], d_sae: int) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor that the refinement described by ``cfg`` saves, from ``cfg`` alone.

    Raises:
        KeyError: a setting is missing.
        ValueError: no refinement has that name.
    """
    match cfg["name"]:
        case "resolvent":
            return {"log_rho": (d_sae,)}
        case "steps":
            return {"log_alpha": (cfg["n"],)}
        case "pursuit":
            return {}
        case other:
            raise ValueError(f"unknown refinement {other!r}")


def restore(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Refinement:
    """The refinement whose ``name`` and settings stand in ``cfg``.

    Raises:
        KeyError: a setting or a tensor is missing.
        ValueError: no refinement has that name.
    """
    match cfg["name"]:
        case "resolvent":
            return Resolvent(tensors["log_rho"], cfg["rectify"], cfg.get("cut"))
        case "steps":
            return Steps(tensors["log_alpha"], cfg["exact"])
        case "pursuit":
            return Pursuit(cfg["k"], cfg["rectify"])
        case other:
            raise ValueError(f"unknown refinement {other!r}")
