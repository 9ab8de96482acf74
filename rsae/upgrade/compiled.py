"""A step's loss and its gradients as one graph of torch's compiler, which fuses what lies between the products.

Gates' kernels and a CPU's products are called as they are (:mod:`rsae.opaque`); Adam is one kernel without it.
"""

import importlib.util
import os
from collections.abc import Callable
from typing import Any, Literal, get_args

import torch

from rsae import products
from rsae.files import short
from rsae.gates.kernels import native

Path = Literal["compiled", "eager"]
CACHE = "TORCHINDUCTOR_CACHE_DIR"  # torch sets it itself where nobody has
LONG = 10_000  # steps over which a GPU is expected to win back the half minute of a compilation


def path(device: str, steps: int, static: bool = True) -> Path:
    """How the steps of a fine-tune run on a type of device, which ``RSAE_STEP`` may say.

    Compiled on CUDA, where Triton is installed and there are :data:`LONG` steps or more; eager on a CPU, where
    nothing is won for the gates that we compile ourselves (docs/speed.md). Eager always where shapes are not
    ``static``.

    Raises:
        ValueError: ``RSAE_STEP`` is no path.
    """
    wanted = os.environ.get("RSAE_STEP", "")
    if wanted not in ("", *get_args(Path)):
        raise ValueError(f"RSAE_STEP must be compiled or eager, or left unset for the faster path; got {wanted!r}")
    pays = device == "cuda" and steps >= LONG and importlib.util.find_spec("triton") is not None
    return "compiled" if static and (wanted == "compiled" or (not wanted and pays)) else "eager"


def compiled(loss: Callable[..., Any]) -> Callable[..., Any]:
    """``loss``, compiled at its first call for the shapes that it meets; what was compiled before is forgotten.

    A call raises ValueError where torch cannot compile.
    """
    from torch._dynamo.exc import TorchDynamoException  # slow to import, and wanted by few
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    if os.environ.get(CACHE, default_cache_dir()) == default_cache_dir():  # below /tmp, which a container forgets
        os.environ[CACHE] = str(native.cache() / "inductor")
    print("the step of this fine-tune is compiled; the first one takes its time", flush=True)
    torch.compiler.reset()  # torch gives up after eight versions of a function, and several arms may share a process
    torch.compiler.assume_constant_result(products.path)  # it asks C++ what the processor is
    graph = torch.compile(loss, dynamic=False)

    def call(*args: Any) -> Any:
        try:
            return graph(*args)
        except TorchDynamoException as failure:
            raise ValueError(
                f"torch cannot compile this fine-tune's step; set RSAE_STEP=eager to do without: {short(failure)}"
            ) from failure

    return call
