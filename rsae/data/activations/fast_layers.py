"""A Hugging Face model's slower layers, computed faster while something is open."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from torch import Tensor, nn
from transformers.activations import NewGELUActivation
from transformers.pytorch_utils import Conv1D

from rsae.runtime.matmul import affine, takes


@contextmanager
def computing(forwards: Mapping[nn.Module, Callable[..., Any]]) -> Iterator[None]:
    """While open, each module computes what it is given here; nothing stays behind."""
    for module, forward in forwards.items():
        vars(module)["forward"] = forward  # past attribute access: an instance's entry hides the class's method
    try:
        yield
    finally:
        for module in forwards:
            del vars(module)["forward"]


def quick(model: nn.Module) -> AbstractContextManager[None]:
    """While open, linear layers of ``model`` go through :func:`affine`, and GPT-2's GELU is one operation, not seven.

    Nothing is copied. A layer that somebody has given a forward of its own keeps it, and one that oneDNN does not take
    is left to torch. For inference: what trains should call :func:`affine` itself.
    """
    return computing({m: forward for m in model.modules() if (forward := _quick(m)) is not None})


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
