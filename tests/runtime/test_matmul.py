"""X W + b against float64 of numpy, in every layout that callers hand over; layers of a model against themselves."""

import inspect

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM
from transformers.activations import NewGELUActivation
from transformers.pytorch_utils import Conv1D

from rsae.data.activations.fast_layers import quick
from rsae.runtime import matmul
from rsae.runtime.matmul import affine

onednn = pytest.mark.skipif(matmul.backend() != "onednn", reason="oneDNN is not what multiplies here")


def columns(n: int, m: int) -> torch.Tensor:
    """As a column of a wider matrix has it: neither its rows nor its columns lie together."""
    return torch.randn(n, 3 * m)[:, m : 2 * m]


LAYOUTS = {
    "rows": torch.randn,
    "transposed": lambda n, m: torch.randn(m, n).T,
    "columns": columns,
    "one number": lambda n, m: torch.randn(1, 1).expand(n, m),
}


@pytest.mark.parametrize("of_W", LAYOUTS)
@pytest.mark.parametrize("of_x", LAYOUTS)
@pytest.mark.parametrize(("n", "d", "m"), [(7, 5, 3), (33, 64, 129), (0, 4, 2), (1, 1, 1)])
def test_products_and_their_gradients_in_every_layout(n, d, m, of_x, of_W):
    torch.manual_seed(0)
    x, W = (LAYOUTS[name](*size).requires_grad_() for name, size in ((of_x, (n, d)), (of_W, (d, m))))
    b, g = torch.randn(m).requires_grad_(), torch.randn(m, n).T
    y = affine(x, W, b)
    dx, dW, db = torch.autograd.grad(y, (x, W, b), g)
    X, V, B, G = (t.detach().double().numpy() for t in (x, W, b, g))
    for found, wanted in ((y, X @ V + B), (dx, G @ V.T), (dW, X.T @ G), (db, G.sum(0))):
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found.detach().numpy(), wanted, atol=1e-5 * max(n, d, m) ** 0.5, rtol=1e-5)


@pytest.mark.parametrize("bias", [torch.randn(12)[::3], torch.randn(1).expand(4)])
def test_a_bias_in_any_layout(bias):
    x, W = torch.randn(6, 5), torch.randn(5, 4)
    wanted = x.double().numpy() @ W.double().numpy() + bias.double().numpy()
    np.testing.assert_allclose(affine(x, W, bias).numpy(), wanted, atol=1e-5)


def test_shapes_that_do_not_fit_are_told_in_torchs_words():
    unchecked = inspect.unwrap(affine)  # as outside of tests
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        unchecked(torch.randn(3, 5), torch.randn(4, 2), torch.randn(2))


def test_leading_dimensions_are_rows_and_a_bias_may_be_missing():
    x, W = torch.randn(2, 3, 5), torch.randn(5, 4)
    np.testing.assert_allclose(affine(x, W).numpy(), np.einsum("abi,ij->abj", x, W), atol=1e-5)


def test_only_what_needs_a_gradient_gets_one():
    x, W = torch.randn(6, 5), torch.randn(5, 4, requires_grad=True)
    affine(x, W).sum().backward()
    assert W.grad is not None and x.grad is None
    x.requires_grad_()
    affine(x, W.detach()).sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), np.tile(W.detach().numpy().sum(1), (6, 1)), atol=1e-5)


@onednn
@pytest.mark.parametrize(("of_x", "of_W"), [(True, False), (False, True), (False, False)])
def test_only_what_a_gradient_needs_is_kept(of_x, of_W):
    x, W, b = torch.randn(6, 5), torch.randn(5, 4), torch.randn(4, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape) or t, lambda t: t):
        affine(x.requires_grad_(of_x), W.requires_grad_(of_W), b)
    assert kept == [x.shape] * of_W + [W.shape] * of_x


def test_other_dtypes_are_left_to_torch():
    x, W = torch.randn(6, 5, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64)
    np.testing.assert_allclose(affine(x, W).numpy(), x.numpy() @ W.numpy(), atol=1e-14)
    with torch.autocast("cpu", torch.bfloat16):
        assert affine(x.float(), W.float()).dtype == torch.bfloat16


@onednn
def test_torchs_own_switch_turns_it_off():
    with torch.backends.mkldnn.flags(enabled=False):
        assert matmul.backend() == "torch"
    assert matmul.backend() == "onednn"
    assert matmul.backend("cuda") == "torch"


@onednn
def test_what_a_product_is_made_by(monkeypatch):
    calls, op = [], torch.ops.mkldnn._linear_pointwise
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", lambda *a: calls.append(a[0].shape) or op(*a))
    affine(torch.randn(6, 5), torch.randn(5, 4))
    model = AutoModelForCausalLM.from_pretrained("assets/embedded/host")
    n_layers = sum(type(m) in (nn.Linear, Conv1D) for m in model.modules())
    with torch.no_grad(), quick(model):
        model(torch.ones(1, 4, dtype=torch.long))
    assert len(calls) == 1 + n_layers


def test_nothing_stays_behind_in_a_model():
    model = AutoModelForCausalLM.from_pretrained("assets/embedded/host")
    ids = torch.arange(24).reshape(2, 12)
    with torch.no_grad():
        wanted = model(ids).logits
        with quick(model):
            found = model(ids).logits
        with pytest.raises(IndexError), quick(model):
            model(torch.full((1, 2), 10**6))
        again = model(ids).logits
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    assert torch.equal(again, wanted)
    assert not any("forward" in vars(module) for module in model.modules())


def test_a_layer_within_another_quick_or_with_a_forward_of_its_own_keeps_it():
    model, x = nn.Sequential(NewGELUActivation(), NewGELUActivation()), torch.randn(4, 3)
    gelu, own = model
    vars(own)["forward"] = theirs = lambda x: 7 * x
    with quick(model):
        outer = vars(gelu)["forward"]
        with quick(model):
            torch.testing.assert_close(model(x), 7 * nn.functional.gelu(x, approximate="tanh"))
        assert vars(gelu)["forward"] is outer
    assert "forward" not in vars(gelu)
    assert vars(own)["forward"] is theirs


def test_a_layer_that_computes_something_else_is_left_alone():
    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    model, x = nn.Sequential(Doubled(3, 2)), torch.randn(4, 3)
    with torch.no_grad():
        wanted = model(x)
        with quick(model):
            assert torch.equal(model(x), wanted)
