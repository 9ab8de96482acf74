"""A Hugging Face model's slower layers, computed faster while something is open."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from transformers.activations import NewGELUActivation
from transformers.pytorch_utils import Conv1D

from rsae.products import affine, takes


@contextmanager
def quick(model: nn.Module) -> Iterator[None]:
    """While open, linear layers of ``model`` go through :func:`affine`, and GPT-2's GELU is one operation, not seven.

    Nothing is copied, and nothing stays behind. A layer that somebody has given a forward of its own keeps it, and one
    that oneDNN does not take is left to torch. For inference: what trains should call :func:`affine` itself.
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
    if "forward" in vars(module):
        return None
    kind: Any = type(module)  # not what inherits from it, which may compute something else
    if kind is NewGELUActivation:
        return lambda x: nn.functional.gelu(x, approximate="tanh")
    if kind not in (nn.Linear, Conv1D) or not takes(module.weight):  # type: ignore[arg-type]
        return None
    W, b = module.weight, module.bias
    return (lambda x: affine(x, W.T, b)) if kind is nn.Linear else (lambda x: affine(x, W, b))  # type: ignore
