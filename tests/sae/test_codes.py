"""Active codes: there and back, and the compiled search and products against torch's own."""

import pytest
import torch

from rsae.sae.codes import Codes, Places, cpp, plain
from rsae.sae.codes.plain import sums

compiled = pytest.mark.skipif(cpp.cpp.compiler() is None, reason="no C++ compiler")
SIZES = [(1, 1), (5, 31), (7, 32), (9, 100), (3, 2049), (2, 20_011)]


def numbers(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def same(a: Places, b: Places) -> bool:
    return torch.equal(a.offsets, b.offsets) and torch.equal(a.feature, b.feature) and a.d_sae == b.d_sae


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_there_and_back_with_tokens_and_features_that_have_none(share):
    z = torch.where(torch.rand(6, 9, generator=torch.Generator().manual_seed(0)) < share, numbers(6, 9), 0.0)
    z[2], z[:, 4] = 0, 0
    codes = Codes.of(z)
    assert torch.equal(codes.dense(), z)
    assert codes.places.share == int((z != 0).sum()) / z.numel()
    offsets, order = codes.places.by_feature
    assert torch.equal(codes.values[order], z.T[z.T != 0])  # feature by feature, tokens in their order
    assert torch.equal(offsets.diff(), (z != 0).sum(0))


def test_gradients_come_back_too():
    z = torch.tensor([[0.0, 2.0], [3.0, 0.0]], requires_grad=True)
    (Codes.of(z).dense() * torch.tensor([[1.0, 5.0], [7.0, 1.0]])).sum().backward()
    assert z.grad is not None
    assert z.grad.tolist() == [[0.0, 5.0], [7.0, 0.0]]  # of what is active alone


def test_a_bag_without_rows_is_zero():
    offsets, row = torch.tensor([0, 0, 2, 2]), torch.tensor([1, 1])
    found = sums(offsets, row, torch.tensor([2.0, 3.0]), torch.tensor([[9.0, 9.0], [1.0, 2.0]]))
    assert found.tolist() == [[0, 0], [5, 10], [0, 0]]
    assert sums(torch.zeros(3, dtype=torch.long), row[:0], found[0, :0], torch.ones(1, 4)).tolist() == [[0] * 4] * 2


@compiled
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("k", [1, 3, 40, 5000])
def test_the_largest_are_those_of_topk(size, k):
    h, k = numbers(*size), min(k, size[1])
    found = cpp.largest(h, k)
    assert same(found, plain.largest(h, k))
    wanted = torch.zeros_like(h).scatter(1, h.topk(k).indices, 1.0).bool() & (h > 0)
    assert same(found, Places.of(wanted))


@compiled
@pytest.mark.parametrize("size", SIZES)
def test_what_is_above_its_floor(size):
    h, floor = numbers(*size), numbers(size[1])
    assert same(cpp.above(h, floor), Places.of(h > floor))
    assert same(plain.above(h, floor), Places.of(h > floor))


@pytest.mark.parametrize("by", [plain, pytest.param(cpp, marks=compiled)])
def test_what_is_no_number_or_no_finite_one_is_not_lost(by):
    h = torch.full((2, 70), -1.0)
    h[0, 3], h[0, 68], h[1, 5], h[1, 40] = torch.nan, 2.0, torch.inf, -torch.inf
    h[1, 69] = -torch.nan
    for found in (by.above(h, torch.zeros(70)), by.largest(h, 2)):
        assert found.token.tolist() == [0, 0, 1, 1]
        assert found.feature.tolist() == [3, 68, 5, 69]


@compiled
def test_of_equal_ones_the_first_are_taken():
    assert cpp.largest(torch.tensor([[1.0, 3.0, 2.0, 2.0, 2.0, 0.0]]), 3).feature.tolist() == [1, 2, 3]


@pytest.mark.parametrize("d", [1, 31, 32, 130])
@pytest.mark.parametrize("by", [plain, pytest.param(cpp, marks=compiled)])
def test_products_of_rows_at_places(by, d, monkeypatch):
    monkeypatch.setattr(plain, "BLOCK", 3 * d)  # three places at a time
    x, W = numbers(6, d), numbers(40, d)
    places = Places.of(numbers(6, 40) > 1)
    wanted = places.read(x.double() @ W.double().T)
    torch.testing.assert_close(by.dots(places, x, W).double(), wanted, rtol=1e-5, atol=1e-5)
    assert by.dots(Places.of(torch.zeros(6, 40, dtype=torch.bool)), x, W).shape == (0,)


@compiled
def test_the_number_of_threads_changes_no_bit():
    h, x, W = numbers(50, 300), numbers(50, 64), numbers(300, 64)
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        places = cpp.largest(h, 9)
        found.append((places.feature, cpp.above(h, W[:, 0]).feature, cpp.dots(places, x, W)))
    torch.set_num_threads(1)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
