"""A Hugging Face model's slower layers, computed faster while something is open."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from transformers.activations import NewGELUActivation
from transformers.pytorch_utils import Conv1D

from rsae.products import affine


@contextmanager
def quick(model: nn.Module) -> Iterator[None]:
    """While open, linear layers of ``model`` go through :func:`affine`, and GPT-2's GELU is one operation, not seven.

    Nothing is copied, and nothing stays behind. For inference: what trains should call :func:`affine` itself.
    """
    changed: list[nn.Module] = []
    try:
        for module in model.modules():
            if (forward := _quick(module)) is not None:
                vars(module)["forward"] = forward  # an instance's entry hides the class's method
                changed.append(module)
        yield
    finally:
        for module in changed:
            del vars(module)["forward"]


def _quick(module: nn.Module) -> Callable[[Tensor], Tensor] | None:
    """What ``module`` computes, faster; None where nothing is."""
    kind: Any = type(module)  # not what inherits from it, which may compute something else
    if kind is NewGELUActivation:
        return lambda x: nn.functional.gelu(x, approximate="tanh")
    if kind is nn.Linear:
        return lambda x: affine(x, module.weight.T, module.bias)  # type: ignore[arg-type, union-attr]
    if kind is Conv1D:
        return lambda x: affine(x, module.weight, module.bias)  # type: ignore[arg-type]
    return None
