"""What an SAE's codes and decoder are like, beside how well they do: the support rule in full."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rsae.sae.model import SAE

EPS = np.geomspace(1e-3, 10.0, 33, dtype=np.float32)  # activation units: from far below any code to above most
MIN_ACTIVE = 10  # tokens on which a feature must be active for a correlation


class Anatomy(NamedTuple):
    """Of one SAE, on one set of tokens."""

    l0_by_eps: Float[np.ndarray, " n_eps"]  # features per token with |z_j| ‖W_dec,j‖ > eps, of the raw codes
    density: Float[np.ndarray, " d_sae"]  # share of tokens on which a feature is in the declared support
    norm_ratio: Float[np.ndarray, " d_sae"]  # ‖W_dec,j‖ over the teacher's
    cosine: Float[np.ndarray, " d_sae"]  # between W_dec,j and the teacher's
    # of a refinement, NaN elsewhere: the codes that it returns against those that it was given, where these are active
    correlation: Float[np.ndarray, " d_sae"]
    clipped: float  # share of the given codes that come back as zero


@torch.no_grad()
def anatomy(sae: SAE, teacher: SAE, data: Iterable[Tensor]) -> Anatomy:
    """Measure ``sae`` on activations [n_tok, d_in] in chunks; ``teacher`` has the same features."""
    n_tok = 0
    above, fired = np.zeros(len(EPS)), torch.zeros(sae.d_sae, dtype=torch.float64)
    moments, clipped = torch.zeros(6, sae.d_sae, dtype=torch.float64), 0.0
    for x in data:
        n_tok += len(x)
        given = sae.gate(sae.preactivations(x))
        z = given if sae.refine is None else sae.refined(x, given)
        # how many eps each code is above, hence how many codes are above each eps
        exceeded = torch.bucketize(sae.strength(z).flatten(), torch.from_numpy(EPS)).bincount(minlength=len(EPS) + 1)
        above += exceeded.flip(0).cumsum(0).flip(0)[1:].numpy()
        fired += (sae.hard(z) != 0).sum(0)
        if sae.refine is not None:
            on = (given != 0).double()
            a, b = given.double(), z.double() * on
            moments += torch.stack([on.sum(0), a.sum(0), b.sum(0), (a * a).sum(0), (b * b).sum(0), (a * b).sum(0)])
            clipped += float(((z == 0) & (given != 0)).sum())
    ours, theirs = sae.W_dec, teacher.W_dec
    refined = sae.refine is not None
    return Anatomy(
        above / n_tok,
        (fired / n_tok).numpy(),
        (ours.norm(dim=1) / theirs.norm(dim=1)).double().numpy(),
        torch.nn.functional.cosine_similarity(ours, theirs).double().numpy(),
        _pearson(moments.numpy()) if refined else np.full(sae.d_sae, np.nan),
        clipped / max(1.0, float(moments[0].sum())) if refined else float("nan"),
    )


def _pearson(moments: Float[np.ndarray, "6 d_sae"]) -> Float[np.ndarray, " d_sae"]:
    """Correlation from n, Σa, Σb, Σa², Σb², Σab; NaN for features that are hardly active, or constant."""
    n, a, b, aa, bb, ab = moments
    spread = (n * aa - a * a) * (n * bb - b * b)
    known = (n >= MIN_ACTIVE) & (spread > 0)
    return np.divide(n * ab - a * b, np.sqrt(np.where(known, spread, 1.0)), out=np.full_like(n, np.nan), where=known)
