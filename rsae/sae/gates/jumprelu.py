"""h · 1[h > theta], one threshold per feature; its gradient is DeepMind's straight-through estimate."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rsae.sae.codes import Places
from rsae.sae.codes.kernels import above
from rsae.sae.gates.base import Gate


class _Jump(torch.autograd.Function):
    """Rajamanoharan et al. 2024 (arXiv 2407.14435), eq. 11: a rectangle kernel of width ``bandwidth``.

    Thresholds are those of h's columns, or of its places.
    """

    @staticmethod
    def forward(ctx: Any, h: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(h, threshold)
        ctx.bandwidth = bandwidth
        return torch.where(h > threshold, h, 0.0)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, Tensor, None]:
        h, threshold = ctx.saved_tensors
        (g,) = grad
        near = _near(h, threshold, ctx.bandwidth, g)
        return torch.where(h > threshold, g, 0.0), -(threshold / ctx.bandwidth) * near, None


class _Count(torch.autograd.Function):
    """1[h > theta]; the same kernel makes it differentiable in theta, ibid. eq. 12."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(h, threshold)
        ctx.bandwidth = bandwidth
        return (h > threshold).to(h.dtype)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[None, Tensor, None]:
        h, threshold = ctx.saved_tensors
        near = _near(h, threshold, ctx.bandwidth, grad[0])
        return None, -near / ctx.bandwidth, None


def _near(h: Tensor, threshold: Tensor, bandwidth: float, g: Tensor) -> Tensor:
    """Sum over tokens of ``g`` where h lies within half a bandwidth of its threshold; of the thresholds' shape."""
    near = torch.where((h > threshold - bandwidth / 2) & (h < threshold + bandwidth / 2), g, 0.0)
    return near.sum_to_size(threshold.shape)


class JumpReLU(Gate):
    """Per-feature thresholds, in units of h; the codes jump from 0 to theta."""

    architecture = "jumprelu"
    exact_zeros = True

    def __init__(self, threshold: Float[Tensor, " d_sae"], bandwidth: float = 0.05) -> None:
        super().__init__()
        self.threshold = nn.Parameter(threshold.detach().clone())
        self.bandwidth = bandwidth

    def forward(self, h: Float[Tensor, "n_tok d_sae"]) -> Float[Tensor, "n_tok d_sae"]:
        # a threshold below zero lets no negative code through, as in sae_lens
        return _Jump.apply(h, self.threshold.clamp_min(0), self.bandwidth)  # type: ignore[return-value]

    def places(self, h: Float[Tensor, "n_tok d_sae"]) -> Places:
        """Those near their threshold among them."""
        return above(h, self.threshold.detach().clamp_min(0) - self.bandwidth / 2)

    def at(self, h_at: Float[Tensor, " n"], places: Places, h: Float[Tensor, "n_tok d_sae"]) -> Float[Tensor, " n"]:
        return _Jump.apply(h_at, self._thresholds(places), self.bandwidth)  # type: ignore[return-value]

    def stretched(self, norm: Float[Tensor, " d_sae"]) -> "JumpReLU":
        return JumpReLU(self.threshold * norm, self.bandwidth)

    def count(self, h: Float[Tensor, "n_tok d_sae"]) -> Float[Tensor, "n_tok d_sae"]:
        """1 where a feature is active; its gradient in the thresholds is a straight-through estimate."""
        return _Count.apply(h, self.threshold.clamp_min(0), self.bandwidth)  # type: ignore[return-value]

    def count_at(self, h_at: Float[Tensor, " n"], places: Places) -> Float[Tensor, " n"]:
        """:meth:`count` at places."""
        return _Count.apply(h_at, self._thresholds(places), self.bandwidth)  # type: ignore[return-value]

    def _thresholds(self, places: Places) -> Float[Tensor, " n"]:
        return self.threshold.clamp_min(0).index_select(0, places.feature)

    def tensors(self) -> dict[str, Tensor]:
        return {"threshold": self.threshold}

    def settings(self) -> dict[str, Any]:
        return {"jumprelu_bandwidth": self.bandwidth}
