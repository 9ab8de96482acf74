"""Fit the gate's coefficients and scales to the teacher's real pre-activations, in l2."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import least_squares
from torch import Tensor

from rsae.gates.jumprelu import JumpReLU
from rsae.gates.topk import TopK
from rsae.rational.safe_pade import SafePade
from rsae.sae import SAE

BINS, RANGE = 16384, 4.0  # uniform bins over v = h / scale in [-4, 4]
NUDGE = 1e-8  # weight of staying at the fit, per unit of effect: settles directions the data leave free


class Histogram(NamedTuple):
    """Bins of v = h / scale that hold any weight; a token's feature weighs (scale · ‖W_dec‖)²."""

    centers: np.ndarray  # mean of v in the bin
    weights: np.ndarray  # summing to 1
    wanted: np.ndarray  # mean of z / scale in the bin, z the code to imitate


class Calibrated(NamedTuple):
    """The gate after calibration: form, scale factors on top of the base scale, and rms error."""

    form: SafePade
    c_in: float
    c_out: float
    error_before: float
    error_after: float


@torch.no_grad()
def topk_threshold(teacher: SAE, chunks: Iterable[Tensor]) -> float:
    """The value tau at which ``h > tau`` keeps k features per token on average.

    Raises:
        ValueError: fewer than k positive pre-activations per token on average.
    """
    assert isinstance(teacher.gate, TopK)
    n_tok, best = 0, torch.empty(0)
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
        threshold = torch.tensor([topk_threshold(teacher, chunks)])
        return Imitated(threshold, threshold / tau)
    largest = max(float(teacher.preactivations(x).abs().max()) for x in chunks)
    return Imitated(torch.zeros(1), torch.tensor([largest]))


@torch.no_grad()
def histogram(teacher: SAE, chunks: Iterable[Tensor], gate: Imitated) -> Histogram:
    """Distribution of v = h / scale over calibration tokens, with the code to imitate in each bin.

    Least squares against the bin's mean code has the same minimiser as against every code.

    Raises:
        ValueError: no code is active, so no gate can be told from another.
    """
    weight = (gate.scale * teacher.W_dec.norm(dim=1)).double().square()
    sums = torch.zeros(3, BINS, dtype=torch.float64)  # of the weights, of v, of z / scale
    for x in chunks:
        h = teacher.preactivations(x)
        v = h / gate.scale
        index = ((v + RANGE) * (BINS / (2 * RANGE))).long().clamp_(0, BINS - 1).flatten()
        for total, values in zip(sums, (1.0, v, torch.where(h > gate.threshold, v, 0.0)), strict=True):
            total += torch.bincount(index, (weight * values).expand_as(v).flatten(), minlength=BINS)
    total, v_sum, z_sum = sums[:, sums[0] > 0].numpy()
    if not z_sum.sum() > 0:
        raise ValueError("the calibration histogram has no active mass: no pre-activation passes its threshold")
    return Histogram(v_sum / total, total / total.sum(), z_sum / total)


def calibrate(form: SafePade, hist: Histogram) -> Calibrated:
    """Least squares over (num, den, C_in, C_out) of C_out · r(v / C_in) against the imitated codes.

    Levenberg-Marquardt with the analytic Jacobian; the coefficients move relative to the minimax
    fit, and a term of relative size 1e-8 holds the directions that the data leave free.

    The gate is the paper's, without clamp and tail: with them the best "rational" gate would be a
    C_in so small that nearly every pre-activation lies on the tail, which is a plain ReLU.
    """
    v, root, wanted = hist.centers, np.sqrt(hist.weights), hist.wanted
    n_num, n_den = len(form.num), len(form.den)
    start = np.concatenate([form.num, form.den])
    step = 1 / form.effects()
    rigidity = np.sqrt(NUDGE * np.sum(root**2 * wanted**2))

    def unpack(y: np.ndarray) -> tuple[SafePade, float, float]:
        c = start + step * y[: n_num + n_den]
        return SafePade(c[:n_num], c[n_num:], form.center), float(np.exp(y[-2])), float(np.exp(y[-1]))

    def residual(y: np.ndarray) -> np.ndarray:
        moved, c_in, c_out = unpack(y)
        return np.concatenate([root * (c_out * moved.inside(v / c_in) - wanted), rigidity * y])

    def jacobian(y: np.ndarray) -> np.ndarray:
        moved, c_in, c_out = unpack(y)
        t = v / c_in
        scales = np.stack([-c_out * moved.slope(t) * t, c_out * moved.inside(t)], 1)
        main = np.hstack([c_out * moved.gradient(t) * step, scales])
        return np.vstack([root[:, None] * main, rigidity * np.eye(len(y))])

    origin = np.zeros(n_num + n_den + 2)
    result = least_squares(residual, origin, jacobian, method="lm", max_nfev=400)  # type: ignore[arg-type]
    moved, c_in, c_out = unpack(result.x)

    def rms(y: np.ndarray) -> float:
        return float(np.linalg.norm(residual(y)[: len(v)]))

    return Calibrated(moved, c_in, c_out, rms(origin), rms(result.x))
