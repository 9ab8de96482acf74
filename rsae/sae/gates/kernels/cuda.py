"""The rational gate for CUDA, in Triton: one pass over h in either direction, any degree as a constant.

A program computes one tile. What is summed over tokens or features leaves it as a partial sum of its own, and the
partial sums are added in float64: no atomics, so the same bits every time. Arithmetic is in fp32 whatever the dtype
of the tensors.
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import triton  # pyright: ignore[reportMissingImports] (comes with torch's CUDA wheels)
import triton.language as tl  # pyright: ignore[reportMissingImports]
from torch import Tensor

from rsae.sae.gates.kernels.tiled import Gradients, Shape

ROWS, COLUMNS = 32, 128  # tokens and features in a tile


class Codes(NamedTuple):
    """What one pass over h yields."""

    z: Tensor  # [n_tok, d_sae], in the dtype of h
    l1: Tensor  # sum_j |z_j|, fp32 [n_tok]
    active: Tensor  # number of j with |z_j| > floor_j, int64 [n_tok]


def forward(h: Tensor, shape: Shape) -> tuple[Tensor, Tensor]:
    """See :func:`rsae.sae.gates.kernels.tiled.forward`."""
    found = codes(h, shape, torch.zeros_like(shape.c_out))
    return found.z, found.l1


def codes(h: Tensor, shape: Shape, floor: Tensor) -> Codes:
    """Codes, their l1 sum and the size of their hard support: eps / ‖W_dec,j‖ is its ``floor`` [d_sae]."""
    h = h.contiguous()
    n, d = h.shape
    grid = _grid(n, d)
    z = torch.empty_like(h)
    l1 = torch.empty(grid[1], n, device=h.device)
    active = torch.empty(grid[1], n, device=h.device, dtype=torch.int32)
    _launch(_forward, grid, shape, h, floor, z, l1, active)
    return Codes(z, l1.sum(0, dtype=torch.float64).float(), active.sum(0))


def backward(g: Tensor, price: Tensor, h: Tensor, shape: Shape) -> Gradients:
    """See :func:`rsae.sae.gates.kernels.tiled.backward`."""
    h = h.contiguous()
    n, d = h.shape
    grid = _grid(n, d)
    dh = torch.empty_like(h)
    coefficients = torch.empty(*grid, len(shape.num) + len(shape.den), device=h.device)
    scales = torch.empty(2, grid[0], d, device=h.device)
    _launch(_backward, grid, shape, h, g.contiguous(), price.contiguous(), dh, coefficients, *scales)
    of_scales = (part.sum(0, dtype=torch.float64).float() for part in scales)
    return Gradients(dh, coefficients.sum((0, 1), dtype=torch.float64).float(), *of_scales)


def _grid(n: int, d: int) -> tuple[int, int]:
    return triton.cdiv(n, ROWS), triton.cdiv(d, COLUMNS)


def _launch(kernel: Any, grid: tuple[int, int], shape: Shape, h: Tensor, *tensors: Tensor) -> None:
    if 0 in grid:
        return  # nothing to compute, and CUDA refuses an empty grid
    c = torch.cat([shape.num, shape.den])
    with torch.cuda.device_of(h):
        kernel[grid](
            h, c, shape.inv_c_in, shape.c_out, *tensors, *h.shape, float(shape.center),
            P=len(shape.num) - 1, Q=len(shape.den) - 1, TAIL=shape.tail, ROWS=ROWS, COLUMNS=COLUMNS,
        )  # fmt: skip


def _kernel(function: Callable[..., Any]) -> Any:
    """Triton compiles the source of ``function``: what checks its shapes while tests run comes off."""
    return triton.jit(inspect.unwrap(function))


@_kernel
def _polynomial(c, u, DEGREE: tl.constexpr):
    """c[0] + c[1] u + ... and its derivative."""
    value = tl.zeros_like(u) + tl.load(c + DEGREE)
    slope = tl.zeros_like(u)
    for i in tl.static_range(DEGREE):
        slope = slope * u + value
        value = value * u + tl.load(c + DEGREE - 1 - i)
    return value, slope


@_kernel
def _argument(t, center, TAIL: tl.constexpr):
    if TAIL:
        t = tl.where(t > 1, 1.0, tl.where(t < -1, -1.0, t))
    return t - center


@_kernel
def _sign(x):
    return tl.where(x > 0, 1.0, tl.where(x < 0, -1.0, 0.0))


@_kernel
def _forward(
    h, c, inv_c_in, c_out, floor, z, l1, active, n, d, center,
    P: tl.constexpr, Q: tl.constexpr, TAIL: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """l1 and active: partial sums of each column of tiles [tiles, n]."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = (row < n)[:, None] & (column < d)[None, :]
    at = row.to(tl.int64)[:, None] * d + column[None, :]
    scale = tl.load(inv_c_in + column, mask=column < d, other=0.0)[None, :]
    t = tl.load(h + at, mask=inside, other=0.0).to(tl.float32) * scale
    u = _argument(t, center, TAIL)
    p, _ = _polynomial(c, u, P)
    a, _ = _polynomial(c + P + 1, u, Q)
    value = p / (1.0 + tl.abs(a))
    if TAIL:
        value += tl.where(t > 1, t - 1, 0.0)
    value = tl.load(c_out + column, mask=column < d, other=0.0)[None, :] * value
    tl.store(z + at, value.to(z.dtype.element_ty), mask=inside)
    size = tl.where(inside, tl.abs(value), 0.0)
    least = tl.load(floor + column, mask=column < d, other=0.0)[None, :]
    part = tl.program_id(1).to(tl.int64) * n + row
    tl.store(l1 + part, tl.sum(size, 1), mask=row < n)
    tl.store(active + part, tl.sum((size > least).to(tl.int32), 1), mask=row < n)


@_kernel
def _backward(
    h, c, inv_c_in, c_out, g, price, dh, d_coefficients, d_inv, d_out, n, d, center,
    P: tl.constexpr, Q: tl.constexpr, TAIL: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """d_coefficients [tiles, tiles, P + Q + 2]: partial sums of a tile; d_inv, d_out [tiles, d]: of a row of tiles."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = (row < n)[:, None] & (column < d)[None, :]
    at = row.to(tl.int64)[:, None] * d + column[None, :]
    scale = tl.load(inv_c_in + column, mask=column < d, other=0.0)[None, :]
    x = tl.load(h + at, mask=inside, other=0.0).to(tl.float32)
    t = x * scale
    u = _argument(t, center, TAIL)
    p, dp = _polynomial(c, u, P)
    a, da = _polynomial(c + P + 1, u, Q)
    inverse = 1.0 / (1.0 + tl.abs(a))
    r = p * inverse
    value = r
    if TAIL:
        value += tl.where(t > 1, t - 1, 0.0)
    gz = tl.load(g + at, mask=inside, other=0.0).to(tl.float32)
    gz += tl.load(price + row, mask=row < n, other=0.0)[:, None] * _sign(value)  # C_out is positive
    gz = tl.where(inside, gz, 0.0)
    part = tl.program_id(0).to(tl.int64) * d + column
    tl.store(d_out + part, tl.sum(gz * value, 0), mask=column < d)
    gz *= tl.load(c_out + column, mask=column < d, other=0.0)[None, :]
    w = gz * inverse  # dL/dP
    v = -w * r * _sign(a)  # dL/dA
    dt = w * dp + v * da
    if TAIL:
        dt = tl.where(t > 1, gz, tl.where(t < -1, 0.0, dt))
    tl.store(d_inv + part, tl.sum(dt * x, 0), mask=column < d)
    tl.store(dh + at, (dt * scale).to(dh.dtype.element_ty), mask=inside)
    tile = tl.program_id(0).to(tl.int64) * tl.num_programs(1) + tl.program_id(1)
    sums = d_coefficients + tile * (P + Q + 2)
    for i in tl.static_range(P + 1):
        tl.store(sums + i, tl.sum(w))
        w *= u
    for i in tl.static_range(Q + 1):
        tl.store(sums + P + 1 + i, tl.sum(v))
        v *= u
