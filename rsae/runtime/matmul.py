"""Products of fp32 matrices on a CPU, by the faster of the two libraries that torch has for them.

torch hands them to MKL, whose code for processors that are not Intel's stops at AVX2. oneDNN, to which torch hands
other dtypes, writes code for whatever processor it meets: where that has AVX-512, products take half of the time on a
recent EPYC (docs/speed.md). It is the same arithmetic but for the order of its sums.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from rsae.runtime.custom_op import opaque


def backend(device: str = "cpu") -> str:
    """Which library multiplies fp32 matrices on a type of device: ``onednn`` or ``torch``, which is torch's choice.

    oneDNN where there is AVX-512, unless ``torch.backends.mkldnn.flags(enabled=False)`` is around.
    """
    onednn = torch.backends.mkldnn
    able = onednn.is_available() and onednn.enabled and torch.backends.cpu.get_cpu_capability() == "AVX512"
    return "onednn" if device == "cpu" and able else "torch"


def takes(*tensors: Tensor) -> bool:
    """Whether oneDNN multiplies these: fp32 on a CPU, and neither divided among processes, nor rounded, nor empty."""
    plain = all(type(t) in (Tensor, nn.Parameter) and t.dtype == torch.float32 and t.numel() > 0 for t in tensors)
    device = tensors[0].device.type
    return plain and backend(device) == "onednn" and not torch.is_autocast_enabled(device)


def affine(
    x: Float[Tensor, "*n d"], W: Float[Tensor, "d m"], b: Float[Tensor, " m"] | None = None
) -> Float[Tensor, "*n m"]:
    """X W + b.

    Raises:
        RuntimeError: the shapes do not fit each other; torch's own words.
    """
    fits = x.shape[-1:] == W.shape[:1] and (b is None or b.shape == W.shape[1:])
    if fits and takes(x, W):
        return _Affine.apply(x, W, b)
    if x.ndim == 2:
        return x @ W if b is None else torch.addmm(b, x, W)
    return nn.functional.linear(x, W.mT, b)


class _Affine(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, W: Tensor, b: Tensor | None) -> Tensor:
        of_x, of_W, _ = ctx.needs_input_grad
        ctx.save_for_backward(x if of_W else None, W if of_x else None)
        return times_transposed(x, W.T, b)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        (x, W), of_b, rows = ctx.saved_tensors, ctx.needs_input_grad[2], g.reshape(-1, g.shape[-1])
        return (
            None if W is None else times_transposed(g, W, None),
            None if x is None else times_transposed(x.reshape(-1, x.shape[-1]).T, rows.T, None),
            rows.sum(0) if of_b else None,
        )


def _like_times_transposed(x: Tensor, W: Tensor, b: Tensor | None) -> Tensor:
    return x.new_empty(*x.shape[:-1], len(W))


@opaque(_like_times_transposed)
def times_transposed(x: Tensor, W: Tensor, b: Tensor | None) -> Tensor:
    """X Wᵀ + b, by the operation that torch's compiler puts in the place of a linear layer whose weights are fixed."""
    b = None if b is None else b.contiguous()  # whose strides are not looked at
    return torch.ops.mkldnn._linear_pointwise(_dense(x), _dense(W), b, "none", [], "")


def _dense(x: Tensor) -> Tensor:
    """As it is where it lies in rows or in columns; columns of something wider would take a hundred times as long."""
    return x if x.is_contiguous() or (x.ndim == 2 and x.T.is_contiguous()) else x.contiguous()
