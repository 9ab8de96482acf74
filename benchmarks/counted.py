"""The counts of :mod:`benchmarks.counts` for relu, the naive eager gate and ours."""

import torch

from benchmarks import naive
from benchmarks.counts import count
from benchmarks.gate import GOALS, rational

SHAPE = 256, 1024


def run() -> list[dict]:
    """Of one forward and backward, in tensors of the size of h."""
    h = torch.randn(SHAPE).requires_grad_()
    rows = [{"what": "relu", **count(torch.relu, h)._asdict()}]
    for degree in GOALS:
        gate = rational(degree, 1)
        scales = gate.log_c_in.exp(), gate.log_c_out.exp()
        found = count(lambda h, gate=gate, scales=scales: naive.gate(h, gate.num, gate.den, *scales), h)
        rows.append({"what": f"naive eager gate {degree}", **found._asdict()})
        for n_scales in (1, SHAPE[1]):
            what = f"gate {degree}, {'one scale' if n_scales == 1 else 'a scale per feature'}"
            rows.append({"what": what, **count(rational(degree, n_scales), h)._asdict()})
    return rows
