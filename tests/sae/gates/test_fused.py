"""The Triton kernels, interpreted on the CPU, against autograd of the plain formula in float64.

Triton comes with torch's CUDA wheels and not with its CPU wheels: these tests run where it is installed,
``pip install triton`` and then ``TRITON_INTERPRET=1 ./in-venv python -m pytest tests/sae/gates/test_fused.py``.
"""

import os

import numpy as np
import pytest
import torch

os.environ.setdefault("TRITON_INTERPRET", "1")  # read when Triton is imported
pytest.importorskip("triton", reason="Triton is not installed: pip install triton")

from rsae.sae.gates import kernels
from rsae.sae.gates.kernels import cuda
from rsae.sae.gates.kernels.tiled import Shape

DEGREES = [(3, 2), (5, 4), (9, 8)]
SIZES = [(64, 256), (37, 131), (1, 1), (33, 129)]  # whole tiles, and anything else


def shape(degree, d_sae, tail):
    rng = np.random.default_rng(0)

    def tensor(x):
        return torch.from_numpy(np.asarray(x)).float()

    num, den = (tensor(rng.normal(size=n + 1)) for n in degree)
    # |h| reaches 4, |t| a little beyond the design interval [-1, 1]
    return Shape(num, den, tensor(rng.uniform(0.1, 0.4, d_sae)), tensor(rng.uniform(0.5, 2, d_sae)), 0.1, tail)


def formula(h, s):
    t = h * s.inv_c_in
    u = (t.clamp(-1, 1) if s.tail else t) - s.center
    p, a = (sum(c[i] * u**i for i in range(len(c))) for c in (s.num, s.den))
    return s.c_out * (p / (1 + abs(a)) + (torch.relu(t - 1) if s.tail else 0))


def exact(h, s, g, price):
    """(z, l1, gradients), float64."""
    leaves = [x.double().requires_grad_() for x in (h, s.num, s.den, s.inv_c_in, s.c_out)]
    h, num, den, inv_c_in, c_out = leaves
    z = formula(h, Shape(num, den, inv_c_in, c_out, s.center, s.tail))
    l1 = z.abs().sum(1)
    return z, l1, torch.autograd.grad((z * g.double()).sum() + price.double() @ l1, leaves)


def draw(size, seed=1):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(size, generator=g), torch.randn(size, generator=g), torch.rand(size[0], generator=g)


def close(found, wanted, rtol=1e-5):
    """To within ``rtol`` of the largest entry: an entry near zero is a difference of larger terms."""
    torch.testing.assert_close(
        found.double(), wanted, rtol=rtol, atol=rtol * max(1.0, wanted.detach().abs().max().item())
    )


@pytest.mark.parametrize("tail", [False, True])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("degree", DEGREES)
def test_values_sums_and_every_gradient(degree, size, tail):
    (h, g, price), s = draw(size), shape(degree, size[1], tail)
    z, l1, gradients = exact(h, s, g, price)
    found = cuda.forward(h, s)
    close(found[0], z)
    close(found[1], l1)
    ours = cuda.backward(g, price, h, s)
    close(ours.h, gradients[0], 2e-5)
    close(ours.coefficients, torch.cat(gradients[1:3]), 2e-5)
    close(ours.inv_c_in, gradients[3], 2e-5)
    close(ours.c_out, gradients[4], 2e-5)


@pytest.mark.parametrize("degree", DEGREES)
def test_the_hard_support_is_counted(degree):
    (h, g, price), s = draw((37, 131)), shape(degree, 131, False)
    floor = torch.linspace(0.1, 1.0, 131)
    z, _, _ = exact(h, s, g, price)
    clear = (z.abs() - floor.double()).abs().min(1).values > 1e-5  # no code of the token lies on its floor
    assert clear.float().mean() > 0.8
    wanted = (z.abs() > floor.double()).sum(1)
    assert 0 < wanted.float().mean() < 131
    assert torch.equal(cuda.codes(h, s, floor).active[clear], wanted[clear])


@pytest.mark.parametrize("degree", DEGREES)
def test_nothing_in_nothing_out(degree):
    s = shape(degree, 16, False)
    z, l1 = cuda.forward(torch.empty(0, 16), s)
    assert z.shape == (0, 16)
    assert l1.shape == (0,)
    found = cuda.backward(torch.empty(0, 16), torch.empty(0), torch.empty(0, 16), s)
    assert found.h.shape == (0, 16)
    assert not found.coefficients.any()
    assert not found.inv_c_in.any()


def is_rounding(found, single):
    """Of fp32 numbers: to the nearest as on a GPU, or towards zero, as Triton's interpreter does."""
    towards_zero = (single.view(torch.int32) & -0x10000).view(torch.float32).to(found.dtype)
    return bool(((found == single.to(found.dtype)) | (found == towards_zero)).all())


@pytest.mark.parametrize("degree", DEGREES)
def test_bfloat16_in_and_out_is_computed_in_fp32(degree):
    (h, g, price), s = draw((37, 131)), shape(degree, 131, True)
    h, g = h.bfloat16(), g.bfloat16()
    z, _ = cuda.forward(h, s)
    assert z.dtype == torch.bfloat16
    assert is_rounding(z, cuda.forward(h.float(), s)[0])
    ours, single = cuda.backward(g, price, h, s), cuda.backward(g.float(), price, h.float(), s)
    assert is_rounding(ours.h, single.h)
    assert torch.equal(ours.coefficients, single.coefficients)
    assert torch.equal(ours.c_out, single.c_out)


@pytest.mark.parametrize("size", [(5, 7), (0, 7)])
def test_torch_is_told_the_shapes_of_these_kernels_results(monkeypatch, size):
    """By torch's own checks of an operation, for a step that is compiled."""
    monkeypatch.setattr(kernels, "_implementation", lambda h: cuda)
    (h, g, price), s = draw(size), shape((3, 2), size[1], True)
    torch.library.opcheck(torch.ops.rsae.rational.default, (h, *s))
    torch.library.opcheck(torch.ops.rsae.rational_gradients.default, (g, price, h, *s))


def test_the_same_bits_every_time():
    (h, g, price), s = draw((64, 256)), shape((9, 8), 256, False)
    first, second = (cuda.backward(g, price, h, s) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)
