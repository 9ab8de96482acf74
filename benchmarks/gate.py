"""Forward and backward of the gate, against relu and against the naive eager gate."""

from typing import Any

import numpy as np
import torch

from benchmarks import naive
from benchmarks.timing import Goal, alternate, row
from rsae.rational.safe_pade import SafePade
from rsae.sae.gates import kernels
from rsae.sae.gates.rational import Rational

SHAPE = 4096, 4096  # tokens, features
GOALS = {(3, 2): Goal(1.3, False), (5, 4): None, (9, 8): Goal(3.0, False)}


def rational(degree: tuple[int, int], n_scales: int) -> Rational:
    """Some coefficients: what they are costs nothing."""
    p, q = degree
    rng = np.random.default_rng(0)
    form = SafePade(rng.normal(size=p + 1), rng.normal(size=q + 1), 0.1)
    return Rational(form, torch.full((n_scales,), 2.0), torch.ones(n_scales))


def _both_ways(function: Any, h: torch.Tensor, g: torch.Tensor) -> None:
    h.grad = None
    function(h).backward(g)


def run() -> list[dict]:
    """One row per degree and comparison; JumpReLU's gate has a scale per feature, ReLU's one for all."""
    torch.manual_seed(0)
    h, g = torch.randn(SHAPE).requires_grad_(), torch.randn(SHAPE)
    rows = []
    for degree, goal in GOALS.items():
        for n_scales in (1, SHAPE[1]):
            gate = rational(degree, n_scales)
            parts = gate.num.detach(), gate.den.detach(), gate.log_c_in.detach().exp(), gate.log_c_out.detach().exp()
            num, den, c_in, c_out = (x.requires_grad_() for x in parts)
            contestants = {
                "relu": lambda: _both_ways(torch.relu, h, g),
                kernels.backend(): lambda gate=gate: _both_ways(gate, h, g),
            }
            if n_scales == 1:
                contestants["naive"] = lambda a=num, b=den, c=c_in, d=c_out: _both_ways(
                    lambda h: naive.gate(h, a, b, c, d), h, g
                )
            seconds = alternate(contestants, 9)
            what = f"gate {degree}, {'one scale' if n_scales == 1 else 'a scale per feature'}"
            rows.append(row(f"{what}, against relu", seconds, kernels.backend(), "relu", goal))
            if n_scales == 1:
                rows.append(row(f"naive eager {what}, against relu", seconds, "naive", "relu"))
    return rows
