"""The rational gate as one would first write it, for comparison: autograd through Horner's scheme."""

from torch import Tensor


def gate(h: Tensor, num: Tensor, den: Tensor, c_in: Tensor, c_out: Tensor) -> Tensor:
    """C_out · P(t)/(1 + |A(t)|) with t = h / C_in; coefficients ascending."""
    t = h / c_in
    return c_out * _horner(num, t) / (1 + _horner(den, t).abs())


def _horner(c: Tensor, t: Tensor) -> Tensor:
    value = c[-1]
    for coefficient in c.flip(0)[1:]:
        value = value * t + coefficient
    return value
