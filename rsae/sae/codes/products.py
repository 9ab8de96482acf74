"""The two ends of an SAE over active codes: pre-activations where they are read, and the sum of decoder rows.

Forward and gradient are those of the dense products h = x W_enc and z W_dec, but for the order of sums; what is skipped
are products with exact zeros. With ``rounded`` they are what autocast makes of these: factors and results in
bfloat16, sums in fp32.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rsae.sae.codes import Places
from rsae.sae.codes.kernels import dots
from rsae.sae.codes.plain import sums


class Read(torch.autograd.Function):
    """h at ``places``, from h itself: the gradient of x W_enc + b_enc there, in x, W_enc and b_enc.

    The gradient of W_enc is made feature by feature and comes as rows: it has the strides of a W_enc that lies in
    columns, which an optimiser wants.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, W_enc: Tensor, b_enc: Tensor, h: Tensor, places: Places, rounded: bool) -> Tensor:
        of_x, of_W, _, *_ = ctx.needs_input_grad
        ctx.save_for_backward(x if of_W else None, W_enc if of_x else None)
        ctx.places, ctx.rounded = places, rounded
        return places.read(h)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        (x, W_enc), places = ctx.saved_tensors, ctx.places
        d_b_enc = _by_feature(g, places) if ctx.needs_input_grad[2] else None
        factor = _rounded(ctx.rounded)
        dx = None if W_enc is None else factor(sums(places.offsets, places.feature, factor(g), factor(W_enc.T)))
        d_W_enc = None if x is None else factor(over_tokens(places, factor(g), factor(x))).T
        return dx, d_W_enc, d_b_enc, None, None, None


class Write(torch.autograd.Function):
    """(z W_dec, Σ_j |z_j| ‖W_dec,j‖ of each token), z being ``values`` at ``places``.

    The second is 0 unless ``weighed``: it is here because its gradient in W_dec is a multiple of each row, which
    is cheap beside the rows of the first and would else be a matrix of its own.
    """

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, W_dec: Tensor, places: Places, weighed: bool, rounded: bool
    ) -> tuple[Tensor, Tensor]:
        factor = _rounded(rounded)
        x_hat = factor(sums(places.offsets, places.feature, factor(values), factor(W_dec)))
        norm, strength = None, values.new_zeros(places.n_tok)
        if weighed:
            norm = W_dec.norm(dim=1)
            strength.index_add_(0, places.token, values.abs() * norm[places.feature])
        ctx.save_for_backward(values, W_dec, norm)
        ctx.places, ctx.rounded = places, rounded
        return x_hat, strength

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor, price: Tensor) -> tuple[Tensor | None, ...]:
        (values, W_dec, norm), places = ctx.saved_tensors, ctx.places
        of_values, of_W, *_ = ctx.needs_input_grad
        factor = _rounded(ctx.rounded)
        d_values = d_W_dec = None
        if of_values:
            d_values = factor(dots(places, factor(g), factor(W_dec)))
            if norm is not None:
                d_values += price[places.token] * norm[places.feature] * values.sign()
        if of_W:
            d_W_dec = factor(over_tokens(places, factor(values), factor(g)))
            if norm is not None:
                paid = _by_feature(price[places.token] * values.abs(), places)
                d_W_dec.addcmul_(torch.where(norm > 0, paid / norm, 0.0)[:, None], W_dec)
        return d_values, d_W_dec, None, None, None


def over_tokens(places: Places, weight: Tensor, matrix: Tensor) -> Tensor:
    """Per feature the weighed sum of its tokens' rows of ``matrix`` [n_tok, d]; [d_sae, d], 0 where it has no place."""
    offsets, order = places.by_feature
    return sums(offsets, places.token[order], weight[order], matrix)


def _by_feature(values: Tensor, places: Places) -> Tensor:
    return values.new_zeros(places.d_sae).index_add_(0, places.feature, values)


def _rounded(rounded: bool) -> Any:
    """Rounds to bfloat16 under autocast, and else gives back what it got."""
    return (lambda t: t.bfloat16().float()) if rounded else (lambda t: t)
