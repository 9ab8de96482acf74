"""One exact solve on the support: a rational function of the active rows' Gram matrix.

Ours, not the paper's. As the refinement of a given support it is kin to gradient pursuit and to
inference-time optimisation, which take steps towards the least squares on the support; new here is
the exact solve in which a trained rho per feature says how far to trust the encoder. With a cut it also chooses: the
gate proposes more features than are kept, the solve says how strong each is beside the others, the weak ones go, and
what is left is solved again: the pruning half of a round of subspace pursuit (Dai and Milenkovic, 2009) or CoSaMP
(Needell and Tropp, 2009), with a trained gate in place of correlations with a residual.
"""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from rsae.runtime.matmul import affine
from rsae.runtime.precision import exact
from rsae.sae.refine.base import Refinement

# numbers in one gathered block, at most: bounds the memory whatever the support's size. On a CPU a block that stays in
# the cache is gathered and multiplied faster, on CUDA a larger one is worth its launches
BLOCK = {"cpu": 1 << 20, "cuda": 1 << 24}
ALIKE = 1.25  # supports that are solved together differ in size by at most this factor


class Resolvent(Refinement):
    """z_S = relu((D_S D_Sᵀ + diag rho_S)⁻¹ (D_S x + rho_S z0_S)), S the support of z0, D the decoder rows.

    rho → ∞ gives z0, rho → 0 the least squares on the support. ``log_rho`` [d_sae] is trained; rho
    is in units of a decoder row's squared norm. With ``rectify=False`` codes may turn negative. With a ``cut`` features
    with z_j · ‖D_j‖ at most ``cut`` leave S, and the rest is solved again.

    Raises:
        ValueError: on use, where active decoder rows depend on each other and rho is too small to
            tell their codes apart.
    """

    method = "resolvent"

    def __init__(self, log_rho: Float[Tensor, " d_sae"], rectify: bool = True, cut: float | None = None) -> None:
        super().__init__()
        self.rectify, self.cut = rectify, cut
        self.log_rho = nn.Parameter(log_rho.detach().float().clone())

    def forward(
        self, x: Float[Tensor, "n_tok d_in"], z0: Float[Tensor, "n_tok d_sae"], W_dec: Float[Tensor, "d_sae d_in"]
    ) -> Float[Tensor, "n_tok d_sae"]:
        z = self._solved(x, z0, W_dec, self.cut)
        if not self.rectify:
            return z
        return z.relu() if torch.is_grad_enabled() else z.relu_()

    def proposed(
        self, x: Float[Tensor, "n_tok d_in"], z0: Float[Tensor, "n_tok d_sae"], W_dec: Float[Tensor, "d_sae d_in"]
    ) -> Float[Tensor, "n_tok d_sae"]:
        return self._solved(x, z0, W_dec, None).relu()

    def _solved(self, x: Tensor, z0: Tensor, W_dec: Tensor, cut: float | None) -> Tensor:
        found: Any = Solve.apply if torch.is_grad_enabled() else solve
        with exact(x.device.type):
            return found(x, z0, W_dec, self.log_rho.exp(), cut)

    def stretched(self, norm: Tensor) -> "Resolvent":
        # N⁻¹(D Dᵀ + rho)N⁻¹ = D'D'ᵀ + rho N⁻² with D' = N⁻¹D
        return Resolvent(self.log_rho - 2 * norm.log(), self.rectify, self.cut)

    def tensors(self) -> dict[str, Tensor]:
        return {"log_rho": self.log_rho}

    def settings(self) -> dict[str, Any]:
        return {"rectify": self.rectify} | ({} if self.cut is None else {"cut": self.cut})

    def slow_parameters(self) -> list[nn.Parameter]:
        return [self.log_rho]


class Solve(torch.autograd.Function):
    """z = A⁻¹ (D x + rho z0) on each token's support, A = D Dᵀ + diag rho.

    With w = A⁻¹ dL/dz: dL/dx = Dᵀw, dL/dz0 = rho w, dL/drho = w (z0 - z) and
    dL/dD = w (x - Dᵀz)ᵀ - z (Dᵀw)ᵀ. Written over all features, where z and w are 0 outside the
    support, the last is two dense products; nothing of size [n_tok, d_sae, d_in] ever exists.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, z0: Tensor, W_dec: Tensor, rho: Tensor, cut: float | None) -> Tensor:
        kept = z0 if cut is None else torch.zeros_like(z0)
        z = solve(x, z0, W_dec, rho, cut, kept)
        ctx.save_for_backward(x, kept, W_dec, rho, z)
        return z

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        x, z0, W_dec, rho, z = ctx.saved_tensors
        w = torch.zeros_like(z)
        with exact(x.device.type):
            for rows, index, inside in blocks(z0 != 0, W_dec.shape[1]):
                _, A = _system(W_dec, rho, index, inside)
                _scatter(w, rows, index, inside, _solve(A, grads[0][rows[:, None], index] * inside))
        pulled = affine(w, W_dec)
        d_W_dec = affine(w.T, x - affine(z, W_dec)) - affine(z.T, pulled)
        return pulled, rho * w, d_W_dec, (w * (z0 - z)).sum(0), None


def solve(
    x: Tensor, z0: Tensor, W_dec: Tensor, rho: Tensor, cut: float | None, kept: Tensor | None = None
) -> Float[Tensor, "n_tok d_sae"]:
    """What :class:`Solve` gives; with a ``cut``, ``kept`` is filled with z0 of the features that it leaves."""
    z, norm = torch.zeros_like(z0), W_dec.norm(dim=1)
    for rows, index, inside in blocks(z0 != 0, W_dec.shape[1]):
        D, A = _system(W_dec, rho, index, inside)
        start = z0[rows[:, None], index]
        right = (D @ x[rows].unsqueeze(-1)).squeeze(-1) + rho[index] * start
        values = _solve(A, right)
        if cut is not None:
            inside = inside & (values * norm[index] > cut)
            values = _solve(_within(A, inside), right * inside)
            if kept is not None:
                _scatter(kept, rows, index, inside, start)
        _scatter(z, rows, index, inside, values)
    return z


def blocks(support: Bool[Tensor, "n_tok d_sae"], d_in: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """(token numbers [n], feature numbers [n, k], which of these are in the support [n, k]).

    Tokens of similar support size stand together, so that little is padding; a block never holds
    more than :data:`BLOCK` numbers, unless a single token does.
    """
    token, feature = support.nonzero().unbind(1)  # token by token
    sizes = token.bincount(minlength=len(support))  # a sum over booleans would copy them to integers of eight bytes
    first = sizes.cumsum(0) - sizes
    size, order = sizes.sort()
    start = int((size == 0).sum())
    while start < len(order):
        widest = max(int(ALIKE * size[start]), 8)
        stop = int(torch.searchsorted(size, widest, right=True))
        stop = min(stop, start + max(1, BLOCK[support.device.type] // (widest * (d_in + widest))))
        k, rows = int(size[stop - 1]), order[start:stop]
        place = torch.arange(k, device=support.device)
        inside = place < sizes[rows, None]
        # padding repeats the token's first feature
        yield rows, feature[first[rows, None] + place * inside], inside
        start = stop


def _system(
    W_dec: Tensor, rho: Tensor, index: Int[Tensor, "n k"], inside: Bool[Tensor, "n k"]
) -> tuple[Float[Tensor, "n k d_in"], Float[Tensor, "n k k"]]:
    D = nn.functional.embedding(index, W_dec)
    diagonal = rho[index]
    if not bool(inside.all()):  # padding has an empty row and a one on the diagonal
        D = D * inside.unsqueeze(-1)
        diagonal = torch.where(inside, diagonal, 1.0)
    A = D @ D.mT
    A.diagonal(dim1=1, dim2=2).add_(diagonal)
    return D, A


def _within(A: Float[Tensor, "n k k"], inside: Bool[Tensor, "n k"]) -> Float[Tensor, "n k k"]:
    """The same system without the features outside: their rows and columns are those of the identity."""
    return torch.where(inside.unsqueeze(1) & inside.unsqueeze(2), A, 0.0) + torch.diag_embed((~inside).to(A.dtype))


def _solve(A: Float[Tensor, "n k k"], right: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    factor, info = torch.linalg.cholesky_ex(A)
    if bool(info.any()):
        raise ValueError(
            f"the active decoder rows of {int((info > 0).sum())} tokens depend on each other, so that rho"
            " is too small to tell their codes apart; start from a larger rho"
        )
    return torch.cholesky_solve(right.unsqueeze(-1), factor).squeeze(-1)


def _scatter(into: Tensor, rows: Tensor, index: Tensor, inside: Tensor, values: Tensor) -> None:
    into[rows[:, None].expand_as(index)[inside], index[inside]] = values[inside]
