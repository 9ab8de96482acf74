"""Sums and products over places by operations of torch, on any device and in any precision.

``embedding_bag`` adds rows bag by bag in the order of the bags, so that every sum is the same at every run.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from rsae.sae.codes import Places

BLOCK = 1 << 22  # numbers in gathered rows, at most: what is gathered stays small whatever the batch


def sums(
    offsets: Int[Tensor, " n_bag_1"],
    row: Int[Tensor, " n"],
    weight: Float[Tensor, " n"],
    matrix: Float[Tensor, "n_row d"],
) -> Float[Tensor, "n_bag d"]:
    """Per bag the weighed sum of rows of ``matrix``; 0 for an empty bag."""
    if not len(row):
        return matrix.new_zeros(len(offsets) - 1, matrix.shape[1])
    return functional.embedding_bag(
        row, matrix, offsets, mode="sum", per_sample_weights=weight, include_last_offset=True
    )


def dots(
    places: Places, by_token: Float[Tensor, "n_tok d"], by_feature: Float[Tensor, "d_sae d"]
) -> Float[Tensor, " n"]:
    """At each place the product of its token's row and its feature's row."""
    parts = (index.split(max(1, BLOCK // by_token.shape[1])) for index in (places.token, places.feature))
    found = [(by_token[token] * by_feature[feature]).sum(1) for token, feature in zip(*parts, strict=True)]
    return torch.cat(found) if found else by_token.new_zeros(0)


def above(h: Float[Tensor, "n_tok d_sae"], floor: Float[Tensor, " d_sae"]) -> Places:
    """Where h is above its feature's floor, or not a number."""
    return Places.of(~(h <= floor))


def largest(h: Float[Tensor, "n_tok d_sae"], k: int) -> Places:
    """The places of a token's k largest h, of those above 0 or not a number."""
    values, feature = torch.topk(h, k, dim=-1, sorted=False)
    feature, order = feature.sort(-1)
    inside = ~(values.gather(-1, order) <= 0)
    return Places.counted(inside.sum(-1), feature[inside], h.shape[1])
