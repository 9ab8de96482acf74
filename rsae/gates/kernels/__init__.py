"""The rational gate behind one face, whichever implementation runs: they agree but for rounding.

``h`` is the only large tensor that is kept for the gradient; forward and backward each pass over it once.
"""

import functools
import os
import sys
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from rsae.gates.kernels import native, tiled
from rsae.gates.kernels.tiled import Shape


def path() -> str:
    """Which implementation runs: ``compiled`` where a C++ compiler is found, else ``tiled``.

    ``RSAE_GATE=tiled`` or ``RSAE_GATE=compiled`` overrides the choice.
    """
    wanted = os.environ.get("RSAE_GATE")
    if wanted not in (None, "", "tiled", "compiled"):
        raise ValueError(f"RSAE_GATE must be tiled or compiled, got {wanted!r}")
    return wanted or _found()


@functools.cache
def _found() -> str:
    if native.compiler() is None:
        print("no C++ compiler: the rational gate runs tile by tile, slower", file=sys.stderr)
        return "tiled"
    return "compiled"


def _implementation(h: Tensor) -> ModuleType:
    return native if path() == "compiled" and h.device.type == "cpu" else tiled


class RationalFunction(torch.autograd.Function):
    """(codes z, sum over features of |z|), from h and the fields of :class:`Shape`."""

    @staticmethod
    def forward(
        ctx: Any,
        h: Tensor,
        num: Tensor,
        den: Tensor,
        inv_c_in: Tensor,
        c_out: Tensor,
        center: float,
        tail: bool,
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(h, num, den, inv_c_in, c_out)
        ctx.static = (center, tail)
        return _implementation(h).forward(h, Shape(num, den, inv_c_in, c_out, center, tail))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        h, *parameters = ctx.saved_tensors
        found = _implementation(h).backward(*grads, h, Shape(*parameters, *ctx.static))
        n = len(parameters[0])
        coefficients = found.coefficients
        return found.h, coefficients[:n], coefficients[n:], found.inv_c_in, found.c_out, None, None
