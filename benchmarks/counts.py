"""What no noise touches: tensors kept for the gradient, passes over memory, allocations, kernels.

Counted are tensors of at least the size of h. An operation of torch reads each of its arguments and writes each of
its results once. A compiled kernel of the gate is one loop over the tensors whose addresses it is given. Work on
tiles, which are smaller than h, stays in the processor's cache and is no pass; nor is it counted.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rsae.sae.gates.kernels import cpp


class Counts(NamedTuple):
    """Of one forward and backward."""

    saved: int  # distinct tensors kept for the gradient
    passes: int  # large tensors read or written
    allocations: int  # large tensors made
    kernels: int  # operations that read or write one


class _Counting(TorchDispatchMode):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.passes, self.allocations, self.kernels = size, 0, 0, 0

    def large(self, values: Any) -> dict[int, Tensor]:
        """Distinct large tensors in ``values``, by where they begin."""
        found = [x for x in tree_leaves(values) if isinstance(x, Tensor) and x.numel() >= self.size]
        return {x.data_ptr(): x for x in found if x.untyped_storage().nbytes() >= self.size * x.element_size()}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if _is_view(func):
            return result
        read, written = self.large((args, kwargs)), self.large(result)
        self.allocations += len(written.keys() - read.keys())
        if not func.overloadpacket.__name__.startswith(("empty", "new_empty")):
            self.passes += len(read) + len(written)
            self.kernels += bool(read or written)
        return result


def _is_view(func: Any) -> bool:
    return any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns)


@contextmanager
def _compiled_kernels(counting: _Counting) -> Iterator[None]:
    """Within, what the compiled gate is handed is counted: torch does not see it."""
    call = cpp._call

    def counted(kernel: str, read: list[Tensor], shape: Any, size: Any, written: list[Tensor]) -> None:
        counting.passes += len(counting.large(read)) + len(counting.large(written))
        counting.kernels += 1
        call(kernel, read, shape, size, written)

    with mock.patch.object(cpp, "_call", counted):
        yield


def count(function: Callable[[Tensor], Tensor], h: Tensor) -> Counts:
    """Of ``function`` and its gradient in everything that it depends on, at ``h``, which must require one."""
    counting, kept = _Counting(h.numel()), {}

    def keep(x: Tensor) -> Tensor:
        kept.update(counting.large(x))
        return x

    g, h.grad = torch.ones_like(h), None
    with counting, _compiled_kernels(counting):
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            z = function(h)
        z.backward(g)
    return Counts(len(kept), counting.passes, counting.allocations, counting.kernels)
