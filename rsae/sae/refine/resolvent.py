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
from torch.autograd.function import once_differentiable

from rsae.runtime.precision import exact
from rsae.sae.codes import Codes, Places
from rsae.sae.codes.plain import sums
from rsae.sae.refine.base import Refinement

# numbers in one gathered block, at most: bounds the memory whatever the support's size. On a CPU a block that stays in
# the cache is gathered and multiplied faster, on CUDA a larger one is worth its launches
BLOCK = {"cpu": 1 << 20, "cuda": 1 << 24}
KEPT = 1 << 26  # numbers in the factors that wait for the gradient, at most; what is more is factored again then
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
        return self.over_active(x, Codes.of(z0), W_dec).dense()

    def over_active(self, x: Float[Tensor, "n_tok d_in"], codes: Codes, W_dec: Float[Tensor, "d_sae d_in"]) -> Codes:
        codes = codes.nonzero()
        z = self._solved(x, codes, W_dec, self.cut)
        return codes._replace(values=z.relu() if self.rectify else z)

    def proposed(
        self, x: Float[Tensor, "n_tok d_in"], z0: Float[Tensor, "n_tok d_sae"], W_dec: Float[Tensor, "d_sae d_in"]
    ) -> Float[Tensor, "n_tok d_sae"]:
        codes = Codes.of(z0)
        return codes._replace(values=self._solved(x, codes, W_dec, None).relu()).dense()

    def _solved(self, x: Tensor, codes: Codes, W_dec: Tensor, cut: float | None) -> Tensor:
        with exact(x.device.type):
            found: Any = Solve.apply(x, codes.values, W_dec, self.log_rho.exp(), codes.places, cut)
        return found

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
    """z = A⁻¹ (D x + rho z0) on each token's support, A = D Dᵀ + diag rho; z0 and z are values at ``places``.

    With w = A⁻¹ dL/dz: dL/dx = Dᵀw, dL/dz0 = rho w, dL/drho = w (z0 - z) and
    dL/dD = w (x - Dᵀz)ᵀ - z (Dᵀw)ᵀ, a weighed sum of rows that belong to tokens. Factors of A are kept for w.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, z0: Tensor, W_dec: Tensor, rho: Tensor, places: Places, cut: float | None
    ) -> Tensor:
        z, ctx.systems = _solutions(x, z0, W_dec, rho, places, cut, KEPT if any(ctx.needs_input_grad) else 0)
        ctx.save_for_backward(x, z0, W_dec, rho, z)
        ctx.places = places
        return z

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        (x, z0, W_dec, rho, z), places = ctx.saved_tensors, ctx.places
        of_W, of_rho = ctx.needs_input_grad[2:4]
        w = torch.zeros_like(z)
        with exact(x.device.type):
            for at, inside, factor in ctx.systems:
                if factor is None:
                    factor = _factor(_system(W_dec, rho, places.feature[at], inside)[1])
                w[at[inside]] = _solve(factor, g[at] * inside)[inside]
        pulled = sums(places.offsets, places.feature, w, W_dec)
        d_W_dec = d_rho = None
        if of_W:
            rest = x - sums(places.offsets, places.feature, z, W_dec)
            (offsets, order), both = places.by_feature, torch.stack([w, z], 1)
            row = torch.stack([places.token, places.token + len(x)], 1)
            d_W_dec = sums(2 * offsets, row[order].flatten(), both[order].flatten(), torch.cat([rest, -pulled]))
        if of_rho:
            d_rho = torch.zeros_like(rho).index_add_(0, places.feature, w * (z0 - z))
        return pulled, rho[places.feature] * w, d_W_dec, d_rho, None, None


System = tuple[Tensor, Tensor, Tensor | None]  # numbers of places [n, k], which are in the support, factor [n, k, k]


def _solutions(
    x: Tensor, z0: Tensor, W_dec: Tensor, rho: Tensor, places: Places, cut: float | None, room: int
) -> tuple[Float[Tensor, " n"], list[System]]:
    """z, and the systems it comes from; factors of the first ones, as many numbers as there is ``room`` for."""
    z, systems = torch.zeros_like(z0), []
    norm = W_dec.norm(dim=1) if cut is not None else None
    for rows, at, inside in blocks(places, W_dec.shape[1]):
        index = places.feature[at]
        D, A = _system(W_dec, rho, index, inside)
        right = (D @ x[rows].unsqueeze(-1)).squeeze(-1) + rho[index] * z0[at]
        factor = _factor(A)
        values = _solve(factor, right)
        if cut is not None and norm is not None:
            inside = inside & (values * norm[index] > cut)
            factor = _factor(_within(A, inside))
            values = _solve(factor, right * inside)
        z[at[inside]] = values[inside]
        room -= factor.numel()
        systems.append((at, inside, factor if room >= 0 else None))
    return z, systems


def blocks(places: Places, d_in: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """(token numbers [n], numbers of their places [n, k], which of these are the token's own [n, k]).

    Tokens of similar support size stand together, so that little is padding; a block never holds
    more than :data:`BLOCK` numbers, unless a single token does.
    """
    size, order = places.sizes.sort()
    start = int((size == 0).sum())
    while start < len(order):
        widest = max(int(ALIKE * size[start]), 8)
        stop = int(torch.searchsorted(size, widest, right=True))
        stop = min(stop, start + max(1, BLOCK[size.device.type] // (widest * (d_in + widest))))
        k, rows = int(size[stop - 1]), order[start:stop]
        place = torch.arange(k, device=size.device)
        inside = place < places.sizes[rows, None]
        # padding repeats the token's first place
        yield rows, places.offsets[rows, None] + place * inside, inside
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


def _factor(A: Float[Tensor, "n k k"]) -> Float[Tensor, "n k k"]:
    factor, info = torch.linalg.cholesky_ex(A)
    if bool(info.any()):
        raise ValueError(
            f"the active decoder rows of {int((info > 0).sum())} tokens depend on each other, so that rho"
            " is too small to tell their codes apart; start from a larger rho"
        )
    return factor


def _solve(factor: Float[Tensor, "n k k"], right: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    return torch.cholesky_solve(right.unsqueeze(-1), factor).squeeze(-1)
