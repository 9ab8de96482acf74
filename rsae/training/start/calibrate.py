"""Fit the gate's coefficients and scales to the teacher's real pre-activations, in l2."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rsae.rational.least_squares import Problem, Refit
from rsae.rational.safe_pade import SafePade
from rsae.sae.gates.jumprelu import JumpReLU
from rsae.sae.gates.topk import TopK
from rsae.sae.model import SAE

BINS, RANGE = 16384, 4.0  # uniform bins over v = h / scale in [-4, 4]
# weight of staying at the fit, per unit of effect. The data leave directions free: with a thousandth of it TopK's gate
# runs down a valley where the 1 of 1 + |A| no longer matters, to another place on every processor, and trains worse
NUDGE = 1e-5


class Histogram(NamedTuple):
    """Bins of v = h / scale that hold any weight; a token's feature weighs (scale · ‖W_dec‖)²."""

    centers: np.ndarray  # mean of v in the bin
    weights: np.ndarray  # summing to 1
    wanted: np.ndarray  # mean of z / scale in the bin, z the code to imitate


@torch.no_grad()
def topk_threshold(teacher: SAE, chunks: Iterable[Tensor]) -> float:
    """The value tau at which ``h > tau`` keeps k features per token on average.

    Raises:
        ValueError: fewer than k positive pre-activations per token on average.
    """
    assert isinstance(teacher.gate, TopK)
    n_tok, best = 0, torch.empty(0, device=teacher.W_enc.device)
    for x in chunks:
        n_tok += len(x)
        # no token holds more than a few k of the k · n_tok largest
        top = torch.topk(teacher.preactivations(x), min(8 * teacher.gate.k, teacher.d_sae)).values
        best = torch.cat([best, top[top > 0]])
    wanted = teacher.gate.k * n_tok
    if len(best) <= wanted:
        raise ValueError(
            f"only {len(best) / n_tok:.1f} positive pre-activations per token, TopK keeps {teacher.gate.k}"
        )
    return float(torch.kthvalue(best, len(best) - wanted).values)


class Imitated(NamedTuple):
    """The element-wise gate that the rational one starts from, and the scale of its argument."""

    threshold: Tensor  # [1] or [d_sae]; z = h where h > threshold, else 0
    scale: Tensor  # [1] or [d_sae]; takes h to the design interval


@torch.no_grad()
def imitated(teacher: SAE, chunks: Iterable[Tensor], tau: float, per_feature: bool) -> Imitated:
    """What each kind of teacher looks like, element by element.

    JumpReLU_theta(h) = s · J(h / s) with s = theta / tau, J the jump at tau: an identity for
    theta > 0, so one shared r serves all thresholds. A scalar scale takes the median threshold.
    TopK is imitated at the fixed threshold that keeps k on average (the paper's "supplied
    threshold"); ReLU has none, and its scale is the largest |h|.

    Raises:
        ValueError: no JumpReLU threshold is positive.
    """
    where = teacher.W_enc.device
    if isinstance(teacher.gate, JumpReLU):
        theta = teacher.gate.threshold.detach()
        positive = theta[theta > 0]
        if not len(positive):
            raise ValueError("no JumpReLU threshold is positive; load this teacher as kind: relu")
        if not per_feature:
            return Imitated(theta, positive.median().reshape(1) / tau)
        # a threshold of 0 is a ReLU; the smallest positive one stands in for its vanishing jump
        return Imitated(theta, theta.clamp_min(float(positive.min())) / tau)
    if isinstance(teacher.gate, TopK):
        threshold = torch.tensor([topk_threshold(teacher, chunks)], device=where)
        return Imitated(threshold, threshold / tau)
    largest = max(float(teacher.preactivations(x).abs().max()) for x in chunks)
    return Imitated(torch.zeros(1, device=where), torch.tensor([largest], device=where))


@torch.no_grad()
def histogram(teacher: SAE, chunks: Iterable[Tensor], gate: Imitated) -> Histogram:
    """Distribution of v = h / scale over calibration tokens, with the code to imitate in each bin.

    Least squares against the bin's mean code has the same minimiser as against every code.

    Raises:
        ValueError: no code is active, so no gate can be told from another.
    """
    weight = (gate.scale * teacher.W_dec.norm(dim=1)).double().square()
    sums = torch.zeros(3, BINS, dtype=torch.float64, device=weight.device)  # of the weights, of v, of z / scale
    for x in chunks:
        h = teacher.preactivations(x)
        v = h / gate.scale
        index = ((v + RANGE) * (BINS / (2 * RANGE))).long().clamp_(0, BINS - 1).flatten()
        for total, values in zip(sums, (1.0, v, torch.where(h > gate.threshold, v, 0.0)), strict=True):
            total += torch.bincount(index, (weight * values).expand_as(v).flatten(), minlength=BINS)
    total, v_sum, z_sum = sums[:, sums[0] > 0].cpu().numpy()
    if not z_sum.sum() > 0:
        raise ValueError("the calibration histogram has no active mass: no pre-activation passes its threshold")
    return Histogram(v_sum / total, total / total.sum(), z_sum / total)


def calibrate(form: SafePade, hist: Histogram) -> Refit:
    """Least squares over (num, den, C_in, C_out) of C_out · r(v / C_in) against the imitated codes.

    The scales found multiply the base scale; the errors are rms over the histogram, in its units. The
    gate is the paper's, without clamp and tail: with them the best "rational" gate would be a C_in so
    small that nearly every pre-activation lies on the tail, which is a plain ReLU.
    """
    v, weights, wanted = hist.centers, hist.weights, hist.wanted
    return Problem(form, v, wanted, weights, constant=True, scales=True, rigidity=NUDGE).solve()
