"""The rational gate behind one face, whichever implementation runs: they agree but for rounding.

``h`` is the only large tensor that is kept for the gradient; forward and backward each pass over it once.
"""

import functools
import importlib.util
import os
import sys
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from rsae.runtime.custom_op import opaque
from rsae.sae.gates.kernels import cpp, tiled
from rsae.sae.gates.kernels.tiled import Gradients, Shape


def backend(device: str = "cpu") -> str:
    """Which implementation runs on a type of device.

    ``fused`` on CUDA, where Triton is installed; ``compiled`` on a CPU, where a C++ compiler is found; else
    ``tiled``, which ``RSAE_GATE=tiled`` asks for anywhere.

    Raises:
        ValueError: ``RSAE_GATE`` is something else.
    """
    wanted = os.environ.get("RSAE_GATE", "")
    if wanted not in ("", "tiled"):
        raise ValueError(f"RSAE_GATE must be tiled, or left unset for the fastest path; got {wanted!r}")
    return wanted or _fastest(device)


@functools.cache
def _fastest(device: str) -> str:
    """Said once per process, for the log."""
    match device:
        case "cpu" if cpp.compiler() is not None:
            found = "compiled"
        case "cuda" if importlib.util.find_spec("triton") is not None:
            found = "fused"
        case _:
            found = "tiled"
    print(f"rational gates on {device}: {found}", file=sys.stderr)
    return found


def _implementation(h: Tensor) -> ModuleType:
    name = backend(h.device.type)
    if name == "fused":
        # by name: Triton is slow to import, and no part of a CPU's installation
        return importlib.import_module(f"{__name__}.cuda")
    return cpp if name == "compiled" else tiled


def _like_codes(h: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(h), h.new_empty(len(h), dtype=torch.float32)


@opaque(_like_codes)
def rational(
    h: Tensor, num: Tensor, den: Tensor, inv_c_in: Tensor, c_out: Tensor, center: float, tail: bool
) -> tuple[Tensor, Tensor]:
    """See :func:`rsae.sae.gates.kernels.tiled.forward`."""
    return _implementation(h).forward(h, Shape(num, den, inv_c_in, c_out, center, tail))


def _like_gradients(
    g: Tensor, price: Tensor, h: Tensor, num: Tensor, den: Tensor, inv_c_in: Tensor, c_out: Tensor, *_: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    coefficients = torch.cat([num, den])
    return torch.empty_like(h), torch.empty_like(coefficients), torch.empty_like(inv_c_in), torch.empty_like(c_out)


@opaque(_like_gradients)
def rational_gradients(
    g: Tensor,
    price: Tensor,
    h: Tensor,
    num: Tensor,
    den: Tensor,
    inv_c_in: Tensor,
    c_out: Tensor,
    center: float,
    tail: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """See :func:`rsae.sae.gates.kernels.tiled.backward`; a plain tuple, for an operation of torch knows no other."""
    return tuple(_implementation(h).backward(g, price, h, Shape(num, den, inv_c_in, c_out, center, tail)))


class RationalFunction(torch.autograd.Function):
    """(codes z, sum over features of |z|), from h and the fields of :class:`Shape`."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, *shape: Any) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(h, *shape[:4])
        ctx.static = shape[4:]
        return rational(h, *shape)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        h, *parameters = ctx.saved_tensors
        found = Gradients(*rational_gradients(*grads, h, *parameters, *ctx.static))
        n = len(parameters[0])
        coefficients = found.coefficients
        return found.h, coefficients[:n], coefficients[n:], found.inv_c_in, found.c_out, None, None
