"""Whether a feature of the upgraded SAE is still the teacher's feature of the same number."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

FEWEST = 20  # tokens on which a teacher's feature must be active to be compared
STRONGEST = 20  # tokens that stand for what a feature is about


class Strongest:
    """The tokens on which each feature is strongest, kept while codes pass by."""

    def __init__(self, d_sae: int, k: int = STRONGEST) -> None:
        self.k, self.seen = k, 0
        self.values = torch.zeros(d_sae, 0)
        self.tokens = torch.zeros(d_sae, 0, dtype=torch.int64)

    @torch.no_grad()
    def add(self, z: Float[Tensor, "n_tok d_sae"]) -> None:
        """Hard codes of the tokens that follow those seen so far."""
        values, tokens = z.T.contiguous().topk(min(self.k, len(z)), dim=1)
        values = torch.cat([self.values, values], 1)
        tokens = torch.cat([self.tokens, tokens + self.seen], 1)
        self.values, kept = values.topk(min(self.k, values.shape[1]), dim=1)
        self.tokens = tokens.gather(1, kept)
        self.seen += len(z)

    def found(self) -> Int[Tensor, "d_sae k"]:
        """Token numbers, strongest first; -1 where a feature is active on fewer tokens."""
        return torch.where(self.values > 0, self.tokens, -1)


class Stability(NamedTuple):
    """Per feature that was compared; 1 is the same feature, 0 an unrelated or a dead one."""

    feature: np.ndarray  # numbers of the features
    cosine: np.ndarray  # of the two decoder rows
    correlation: np.ndarray  # Pearson's, of the two hard codes over tokens
    overlap: np.ndarray  # share of the teacher's strongest tokens that are among the upgraded's


class Together:
    """Sums of two SAEs' hard codes over the same tokens."""

    def __init__(self, d_sae: int) -> None:
        self.n_tok = 0
        self.sums = torch.zeros(5, d_sae, dtype=torch.float64)  # a, b, aa, bb, ab

    @torch.no_grad()
    def add(self, a: Float[Tensor, "n_tok d_sae"], b: Float[Tensor, "n_tok d_sae"]) -> None:
        """Codes of the teacher and of the other SAE."""
        self.n_tok += len(a)
        self.sums += torch.stack([part.sum(0).double() for part in (a, b, a * a, b * b, a * b)])

    def correlation(self) -> Float[Tensor, " d_sae"]:
        """Pearson's, feature by feature; 0 where one of the two never changes."""
        a, b, aa, bb, ab = self.sums / self.n_tok
        spread = ((aa - a * a).clamp_min(0) * (bb - b * b).clamp_min(0)).sqrt()
        return torch.where(spread > 0, (ab - a * b) / spread.clamp_min(1e-300), 0.0).clamp(-1, 1)


def overlap(a: Int[Tensor, "d_sae k"], b: Int[Tensor, "d_sae k"]) -> Float[Tensor, " d_sae"]:
    """Share of each row of ``a`` that is in the same row of ``b``; -1 is nothing, and 0 of nothing is 0."""
    known = a >= 0
    shared = (a[:, :, None] == b[:, None, :]).any(2) & known
    return shared.sum(1).float() / known.sum(1).clamp_min(1)


def compare(
    W_dec: tuple[Float[Tensor, "d_sae d_in"], Float[Tensor, "d_sae d_in"]],
    together: Together,
    strongest: tuple[Strongest, Strongest],
    active: Int[Tensor, " d_sae"],
) -> Stability:
    """Teacher first. ``active``: tokens on which each of its features is; rarer ones than :data:`FEWEST` are left out.

    An upgrade keeps the numbers of features, so nothing is matched: a feature that moved to another number counts
    as lost.
    """
    feature = torch.nonzero(active >= FEWEST).squeeze(1)
    cosine = torch.cosine_similarity(W_dec[0].double(), W_dec[1].double(), dim=1)
    shared = overlap(strongest[0].found(), strongest[1].found())
    return Stability(
        *(t.detach().numpy() for t in (feature, cosine[feature], together.correlation()[feature], shared[feature]))
    )
