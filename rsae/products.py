"""Products of fp32 matrices on a CPU, by the faster of the two libraries that torch has for them.

torch hands them to MKL, whose code for processors that are not Intel's stops at AVX2. oneDNN, to which torch hands
other dtypes, writes code for whatever processor it meets: where that has AVX-512, products take less than half of the
time on a recent EPYC (docs/speed.md). It is the same arithmetic but for the order of its sums.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def path(device: str = "cpu") -> str:
    """Which library multiplies fp32 matrices on a type of device: ``onednn`` or ``torch``, which is torch's choice.

    oneDNN where there is AVX-512, unless ``torch.backends.mkldnn.flags(enabled=False)`` is around.
    """
    onednn = torch.backends.mkldnn
    able = onednn.is_available() and onednn.enabled and torch.backends.cpu.get_cpu_capability() == "AVX512"
    return "onednn" if device == "cpu" and able else "torch"


def affine(
    x: Float[Tensor, "*n d"], W: Float[Tensor, "d m"], b: Float[Tensor, " m"] | None = None
) -> Float[Tensor, "*n m"]:
    """X W + b."""
    if _is_for_onednn(x) and _is_for_onednn(W):
        return _Affine.apply(x, W, b)
    return x @ W if b is None else torch.addmm(b, x, W) if x.ndim == 2 else x @ W + b


def _is_for_onednn(x: Tensor) -> bool:
    """Nothing is multiplied elsewhere, divided among processes, rounded, or empty."""
    plain = type(x) in (Tensor, nn.Parameter) and x.dtype == torch.float32 and x.numel() > 0
    return plain and path(x.device.type) == "onednn" and not torch.is_autocast_enabled(x.device.type)


class _Affine(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, W: Tensor, b: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, W)
        return _times_transposed(x, W.T, b)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        (x, W), (of_x, of_W, of_b) = ctx.saved_tensors, ctx.needs_input_grad
        rows, flat = x.reshape(-1, x.shape[-1]), g.reshape(-1, g.shape[-1])
        return (
            _times_transposed(g, W) if of_x else None,
            _times_transposed(rows.T, flat.T) if of_W else None,
            flat.sum(0) if of_b else None,
        )


def _times_transposed(x: Tensor, W: Tensor, b: Tensor | None = None) -> Tensor:
    """X Wᵀ + b, by the operation that torch's compiler puts in the place of a linear layer."""
    return torch.ops.mkldnn._linear_pointwise(_dense(x), _dense(W), b, "none", [], "")


def _dense(x: Tensor) -> Tensor:
    """As it is where it lies in rows or in columns; columns of something wider would take a hundred times as long."""
    return x if x.is_contiguous() or (x.ndim == 2 and x.T.is_contiguous()) else x.contiguous()
