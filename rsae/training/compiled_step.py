"""A step's loss and its gradients as one graph of torch's compiler, which fuses what lies between the products.

Gates' kernels and a CPU's products are called as they are (:mod:`rsae.runtime.custom_op`); Adam is one kernel
without it.
"""

import importlib.util
import os
import types
from typing import Any, Literal, get_args

import torch

from rsae.runtime import matmul

Mode = Literal["compiled", "eager"]
LONG = 10_000  # steps over which a GPU is expected to win back the half minute of a compilation


def mode(device: str, steps: int, static: bool = True) -> Mode:
    """How the steps of a fine-tune run on a type of device, which ``RSAE_STEP`` may say.

    Compiled on CUDA, where Triton is installed and there are :data:`LONG` steps or more; eager on a CPU, where
    nothing is won for the gates that we compile ourselves (docs/speed.md). Eager always where shapes are not
    ``static``.

    Raises:
        ValueError: ``RSAE_STEP`` is no path.
    """
    wanted = os.environ.get("RSAE_STEP", "")
    if wanted not in ("", *get_args(Mode)):
        raise ValueError(f"RSAE_STEP must be compiled or eager, or left unset for the faster path; got {wanted!r}")
    pays = device == "cuda" and steps >= LONG and importlib.util.find_spec("triton") is not None
    return "compiled" if static and (wanted == "compiled" or (not wanted and pays)) else "eager"


def insisted() -> bool:
    """Whether somebody asked for a compiled step, and would not want another one instead."""
    return os.environ.get("RSAE_STEP") == "compiled"


def compiled(loss: types.FunctionType) -> Any:
    """``loss``, compiled as one graph for each shape that it meets, its gradient at the first call of that.

    Both calls raise what :func:`failed` knows where torch cannot.
    """
    torch.compiler.assume_constant_result(matmul.backend)  # it asks C++ what the processor is
    # of a code object of its own: torch counts a function's versions by it, and several arms may share a process
    code, name = loss.__code__.replace(), loss.__name__
    own = types.FunctionType(code, loss.__globals__, name, loss.__defaults__, loss.__closure__)
    return torch.compile(own, dynamic=False, fullgraph=True)


def failed(error: BaseException) -> bool:
    """Whether torch's compiler could not make a graph or code of it."""
    from torch._dynamo.exc import TorchDynamoException  # slow to import, and wanted by few

    return isinstance(error, TorchDynamoException)


def out_of_memory(error: BaseException | None) -> bool:
    """Whether that is the reason; the compiler, which tries kernels, hides it in an error of its own."""
    while error is not None and not isinstance(error, torch.OutOfMemoryError):
        error = getattr(error, "inner_exception", None) or error.__cause__ or error.__context__
    return error is not None
