"""One fine-tune on the processes that torchrun started: each takes some tokens of a batch, or some features of the SAE.

By token, every process holds the whole SAE and sees its part of each batch; gradients are summed. By feature, every
process sees whole batches and holds columns of the encoder, rows of the decoder and what the gate keeps per feature,
as DTensors of torch: weights, gradients and moments are divided by the number of processes, and what they send each
other is of the size of a batch. Either way it is the arithmetic of one process but for the order of its sums.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_module, distribute_tensor

from rsae.config.types import By
from rsae.runtime.checkpoint import Checkpoint
from rsae.runtime.device import device
from rsae.sae.model import SAE

FEATURES = {"W_enc": 1, "b_enc": 0, "W_dec": 0}  # which dimension they are; of what a gate keeps, the only one


class Alone:
    """One process, which does everything; and what the others override."""

    rank, size = 0, 1
    by: By | None = None
    compiles = True  # whether a compiled gate may be used
    halves = True  # whether a process that runs out of memory may go on with smaller parts by itself

    def take(self, sae: SAE) -> None:
        """Keep this process's part of ``sae`` only; before an optimiser reads its parameters."""

    def give(self, sae: SAE) -> None:
        """Inverse of :meth:`take`, on every process."""

    def rows(self, x: Tensor) -> Tensor:
        """What this process computes on, of a batch [n_tok, d_in]."""
        return x

    def add(self, sae: SAE) -> None:
        """Make the gradients of this process's part those of the whole batch."""

    def total(self, loss: float) -> float:
        """A loss, from what each process has of it."""
        return loss

    def largest(self, value: float) -> float:
        """The largest of the processes' values; every process has to ask."""
        return value

    def any(self, so: bool) -> bool:
        """Whether it is so for one of the processes; every process has to ask."""
        return bool(self.largest(float(so)))


ALONE = Alone()


class ByToken(Alone):
    """Every n-th token of a batch."""

    by: By | None = "token"

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def rows(self, x: Tensor) -> Tensor:
        """Raises ValueError where there is not one token for each process."""
        if len(x) < self.size:
            raise ValueError(f"a batch of {len(x)} tokens cannot be divided among {self.size} processes; start fewer")
        return x[self.rank :: self.size]

    def add(self, sae: SAE) -> None:
        for p in sae.parameters():
            if p.grad is not None:
                dist.all_reduce(p.grad)

    def total(self, loss: float) -> float:
        return _reduced(loss, dist.ReduceOp.SUM)

    def largest(self, value: float) -> float:
        return _reduced(value, dist.ReduceOp.MAX)


class ByFeature(Alone):
    """The n-th part of the features. TopK compares all of them: it gathers pre-activations, and only weights divide."""

    by: By | None = "feature"
    compiles = False
    halves = False  # the others wait in the middle of a pass

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.mesh = init_device_mesh(device().type, (self.size,))

    def take(self, sae: SAE) -> None:
        """Raises ValueError for a refinement, which reads the decoder rows of whatever is active together."""
        if sae.refine is not None:
            raise ValueError("an SAE with a refinement cannot be divided by feature; divide by token")
        d_sae = sae.d_sae

        def divide(name: str, module: nn.Module, mesh: DeviceMesh) -> None:
            for key, p in list(module.named_parameters(recurse=False)):
                per_feature = key in FEATURES if module is sae else p.shape[:1] == (d_sae,)
                placement = Shard(FEATURES.get(key, 0)) if per_feature else Replicate()
                module.register_parameter(key, nn.Parameter(distribute_tensor(p.detach(), mesh, [placement])))

        distribute_module(sae, self.mesh, divide)  # which also replicates the buffers

    def give(self, sae: SAE) -> None:
        for module in sae.modules():
            for key, p in list(module.named_parameters(recurse=False)):
                module.register_parameter(key, nn.Parameter(whole(p.detach())))
            for key, buffer in list(module.named_buffers(recurse=False)):
                module.register_buffer(key, whole(buffer))

    def rows(self, x: Tensor) -> Tensor:
        return DTensor.from_local(x, self.mesh, [Replicate()])

    def add(self, sae: SAE) -> None:
        for p in sae.parameters():
            if isinstance(p, DTensor) and isinstance(p.grad, DTensor):
                p.grad = _laid_out(p.grad.redistribute(p.device_mesh, p.placements), p)

    def largest(self, value: float) -> float:
        return _reduced(value, dist.ReduceOp.MAX)


class Follower(Checkpoint):
    """The checkpoint of every process but the first: it reads, and leaves writing to the first."""

    def save(self, state: Any) -> None:
        self.touch()


@contextmanager
def joined(by: By) -> Iterator[Alone]:
    """The processes of a torchrun, which meet here; alone where there is no torchrun."""
    if not dist.is_torchelastic_launched():
        yield ALONE
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if device().type == "cuda" else "gloo")
    try:
        yield ByToken() if by == "token" else ByFeature()
    finally:
        dist.destroy_process_group()


def whole(value: Any) -> Any:
    """A state with plain tensors in place of divided ones; every process has to ask."""
    if isinstance(value, dict):
        return {key: whole(part) for key, part in value.items()}
    return value.full_tensor().contiguous() if isinstance(value, DTensor) else value


def divided(value: Tensor, like: Tensor) -> Tensor:
    """A plain tensor as ``like`` is divided; every process holds it whole."""
    if not isinstance(like, DTensor):
        return torch.empty_like(like).copy_(value)
    return _laid_out(distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None), like)


def _laid_out(value: DTensor, like: DTensor) -> DTensor:
    """``value`` with the strides of ``like``: a fused optimiser walks weight, gradient and moments side by side."""
    part = torch.empty_like(like.to_local()).copy_(value.to_local())
    return DTensor.from_local(part, like.device_mesh, like.placements, shape=like.shape, stride=like.stride())


def number(value: Tensor) -> float:
    """A divided or plain tensor with one element, as a float."""
    return float(whole(value.detach()))


def _reduced(value: float, op: Any) -> float:
    number = torch.tensor(value, dtype=torch.float64)
    dist.all_reduce(number, op)
    return float(number)
