"""The rational gate and its gradient as two plain functions, run compiled or tile by tile.

Autograd through a (9, 8) rational writes every intermediate of Horner's scheme to memory. Written
as one function each, forward and backward read h, recompute the rest in registers (compiled) or
in a tile that stays in cache (eager), and write one tensor. ``h`` is the only large thing saved.
"""

import functools
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

TILE = 1 << 15  # elements; a tile's temporaries fit a core's second-level cache


def _forward(h: Tensor, num: Tensor, den: Tensor, inv_c_in: Tensor, c_out: Tensor, center: float, tail: bool) -> Tensor:
    t = h.float() * inv_c_in
    u = (t.clamp(-1, 1) if tail else t) - center
    p, a = _horner(num, u), _horner(den, u)
    r = p / (1 + a.abs())
    return c_out * (r + (t - 1).relu() if tail else r)


def _horner(c: Tensor, u: Tensor) -> Tensor:
    value = c[-1].expand_as(u)
    for j in range(len(c) - 2, -1, -1):
        value = value * u + c[j]
    return value


def _horner_and_slope(c: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    value, slope = c[-1].expand_as(u), torch.zeros_like(u)
    for j in range(len(c) - 2, -1, -1):
        slope = slope * u + value
        value = value * u + c[j]
    return value, slope


def _backward(
    g: Tensor,
    h: Tensor,
    num: Tensor,
    den: Tensor,
    inv_c_in: Tensor,
    c_out: Tensor,
    center: float,
    tail: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """(dL/dh, row sums of the coefficient gradients [n, p + q + 2], z)."""
    t = h.float() * inv_c_in
    u = (t.clamp(-1, 1) if tail else t) - center
    (p, dp), (a, da) = _horner_and_slope(num, u), _horner_and_slope(den, u)
    inverse = 1 / (1 + a.abs())
    r = p * inverse
    gz = g.float() * c_out
    w = gz * inverse  # dL/dP
    v = -w * r * torch.sign(a)  # dL/dA
    dt = w * dp + v * da
    if tail:
        dt = torch.where(t > 1, gz, torch.where(t < -1, 0.0, dt))
        r = r + (t - 1).relu()
    sums = []
    power = w
    for _ in range(len(num)):
        sums.append(power.sum(-1))
        power = power * u
    power = v
    for _ in range(len(den)):
        sums.append(power.sum(-1))
        power = power * u
    return dt * inv_c_in, torch.stack(sums, -1), c_out * r


@functools.cache
def path() -> str:
    """Which implementation runs: ``compiled`` where a C++ compiler is found, else ``tiled``.

    ``RSAE_GATE=tiled`` or ``RSAE_GATE=compiled`` overrides the choice.
    """
    wanted = os.environ.get("RSAE_GATE")
    if wanted not in (None, "", "tiled", "compiled"):
        raise ValueError(f"RSAE_GATE must be tiled or compiled, got {wanted!r}")
    if wanted:
        return wanted
    header = Path(sysconfig.get_path("include"), "Python.h")  # torch's generated code includes it
    if shutil.which(os.environ.get("CXX", "g++")) is None or not header.is_file():
        print("no C++ compiler or no Python headers: the rational gate runs tile by tile, slower", file=sys.stderr)
        return "tiled"
    return "compiled"


@functools.cache
def compile_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` compiled for fixed shapes, once per process."""
    return torch.compile(function, dynamic=False)


def _tiles(h: Tensor) -> list[slice]:
    rows = max(1, TILE // h.shape[-1])
    return [slice(i, i + rows) for i in range(0, len(h), rows)]


class RationalFunction(torch.autograd.Function):
    """z = c_out · (P(u)/(1 + |A(u)|) + tail), u = clamp(h · inv_c_in) - center, in fp32.

    ``inv_c_in`` and ``c_out`` hold one number per feature; a shared scale is expanded by the
    caller, for the compiled loop over features is twice as fast with vectors as with scalars.
    """

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
        compiled: bool,
    ) -> Tensor:
        ctx.save_for_backward(h, num, den, inv_c_in, c_out)
        ctx.static = (center, tail)
        ctx.compiled = compiled
        if compiled:
            return compile_once(_forward)(h, num, den, inv_c_in, c_out, center, tail).to(h.dtype)
        z = torch.empty_like(h)
        for rows in _tiles(h):
            z[rows] = _forward(h[rows], num, den, inv_c_in, c_out, center, tail)
        return z

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (g,) = grads
        h, *parameters = ctx.saved_tensors
        num, _, inv_c_in, c_out = parameters
        if ctx.compiled:
            dh, sums, z = compile_once(_backward)(g, h, *parameters, *ctx.static)
        else:
            dh, z = torch.empty_like(h), torch.empty_like(h)
            parts = []
            for rows in _tiles(h):
                dh[rows], part, z[rows] = _backward(g[rows], h[rows], *parameters, *ctx.static)
                parts.append(part)
            sums = torch.cat(parts)
        total = sums.double().sum(0).float()
        # inv_c_in · dL/d(inv_c_in) = sum of dL/dh · h; c_out · dL/d(c_out) = sum of g · z
        d_inv = (dh.float() * h.float()).sum(0) / inv_c_in
        d_out = (g.float() * z.float()).sum(0) / c_out
        return dh.to(h.dtype), total[: len(num)], total[len(num) :], d_inv, d_out, None, None, None
