"""The rational gate and its gradient as two plain functions, run tile by tile.

Autograd through a (9, 8) rational writes every intermediate of Horner's scheme to memory. Written as one function
each, forward and backward read h and recompute the rest in a tile that stays in the processor's cache.
"""

from typing import NamedTuple

import torch
from torch import Tensor

# elements; on a CPU a tile's temporaries fit a core's second-level cache, on CUDA they are worth a launch
TILE = {"cpu": 1 << 15, "cuda": 1 << 24}


class Shape(NamedTuple):
    """What a rational gate is made of; all tensors in fp32.

    z = c_out · (P(u)/(1 + |A(u)|) + tail) with u = h · inv_c_in - center; with ``tail``, h · inv_c_in is clamped
    to [-1, 1] and what exceeds 1 is added again. ``inv_c_in`` and ``c_out`` hold one number per feature.
    """

    num: Tensor  # P, ascending [p + 1]
    den: Tensor  # A, ascending [q + 1]
    inv_c_in: Tensor  # [d_sae]
    c_out: Tensor  # [d_sae]
    center: float
    tail: bool


class Gradients(NamedTuple):
    """Of a loss, in what the gate read."""

    h: Tensor  # [n_tok, d_sae]
    coefficients: Tensor  # of num and den [p + q + 2]
    inv_c_in: Tensor  # [d_sae]
    c_out: Tensor  # [d_sae]


def forward(h: Tensor, shape: Shape) -> tuple[Tensor, Tensor]:
    """Codes z [n_tok, d_sae] in the dtype of h, and sum_j |z_j| [n_tok] in fp32."""
    z, l1 = torch.empty_like(h), torch.empty(len(h), device=h.device)
    for rows in _tiles(h):
        part = value(h[rows], shape)
        z[rows], l1[rows] = part, part.abs().sum(1)
    return z, l1


def backward(g: Tensor, price: Tensor, h: Tensor, shape: Shape) -> Gradients:
    """From ``g`` = dL/dz [n_tok, d_sae] and ``price`` = dL/dl1 [n_tok]."""
    dh = torch.empty_like(h)
    coefficients = h.new_zeros(len(shape.num) + len(shape.den), dtype=torch.float64)
    d_inv, d_out = (h.new_zeros(h.shape[1], dtype=torch.float64) for _ in range(2))
    for rows in _tiles(h):
        part = _gradients(g[rows], price[rows], h[rows], shape)
        dh[rows] = part.h
        coefficients += part.coefficients
        d_inv += part.inv_c_in
        d_out += part.c_out
    return Gradients(dh, coefficients.float(), d_inv.float(), d_out.float())


def _tiles(h: Tensor) -> list[slice]:
    rows = max(1, TILE[h.device.type] // max(1, h.shape[1]))
    return [slice(i, i + rows) for i in range(0, len(h), rows)]


def value(h: Tensor, shape: Shape) -> Tensor:
    """Codes, by operations that autograd knows."""
    t = h.float() * shape.inv_c_in
    u = (t.clamp(-1, 1) if shape.tail else t) - shape.center
    r = _horner(shape.num, u) / (1 + _horner(shape.den, u).abs())
    return shape.c_out * (r + (t - 1).relu() if shape.tail else r)


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


def _gradients(g: Tensor, price: Tensor, h: Tensor, shape: Shape) -> Gradients:
    x = h.float()
    t = x * shape.inv_c_in
    u = (t.clamp(-1, 1) if shape.tail else t) - shape.center
    (p, dp), (a, da) = _horner_and_slope(shape.num, u), _horner_and_slope(shape.den, u)
    inverse = 1 / (1 + a.abs())
    r = p * inverse
    codes = r + (t - 1).relu() if shape.tail else r  # for c_out = 1
    gz = g.float() + price[:, None] * torch.sign(codes)  # c_out is positive
    d_out = gz * codes
    gz = gz * shape.c_out
    w = gz * inverse  # dL/dP
    v = -w * r * torch.sign(a)  # dL/dA
    dt = w * dp + v * da
    if shape.tail:
        dt = torch.where(t > 1, gz, torch.where(t < -1, 0.0, dt))
    powers = []
    for power, c in ((w, shape.num), (v, shape.den)):
        for _ in range(len(c)):
            powers.append(power.sum(1))
            power = power * u
    return Gradients(
        dt * shape.inv_c_in,
        torch.stack(powers).sum(1, dtype=torch.float64),
        (dt * x).sum(0),
        d_out.sum(0),
    )
