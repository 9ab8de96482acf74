"""The fine-tune that every arm gets: the same loop, data order and optimiser."""

import time
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from rsae.arms import EVERYTHING, Objective
from rsae.gates.rational import Rational
from rsae.progress import progress
from rsae.sae import SAE
from rsae.upgrade import objectives

CHECK_EVERY = 50  # steps between looks at the loss


class Settings(NamedTuple):
    """Budget, rates and objective of one fine-tune."""

    steps: int
    batch: int  # tokens
    lr: float
    slow_lr: float  # for the shape of a gate or refinement: coefficients, log-scales, log rho
    decay_share: float  # last part of the steps, over which the rates fall linearly to 0
    l1_coefficient: float  # λ, the price of sparsity; of L0 where the objective says so
    objective: Objective = "paper"


class Outcome(NamedTuple):
    """Facts for the run card."""

    loss_first: float
    loss_last: float
    seconds: float
    max_code: float
    gate_path: str  # compiled or tiled; plain where no gate is rational


def finetune(
    sae: SAE,
    data: Float[Tensor, "n d_in"],
    settings: Settings,
    seed: int,
    what: str = "finetune",
    trains: tuple[str, ...] = EVERYTHING,
    gate_path: str = "tiled",
) -> Outcome:
    """Train the parameters of ``sae`` whose names begin with one of ``trains``, in place.

    ``seed`` fixes the order of the data only; arms of one seed see the same batches, which is
    what makes their comparison a paired one. ``gate_path`` says how rational gates are computed
    (see :func:`rsae.gates.kernels.path`); afterwards they are tiled again, for evaluation has other
    shapes, not worth a compilation.

    Raises:
        ValueError: fewer rows than one batch, nothing to train, or the loss stops being finite.
    """
    if len(data) < settings.batch:
        raise ValueError(f"{len(data)} activations are fewer than one batch of {settings.batch}")
    gates = [module for module in sae.modules() if isinstance(module, Rational)]
    for gate in gates:
        gate.compiled = gate_path == "compiled"
    optimiser = torch.optim.Adam(_groups(sae, settings, trains), fused=True)
    decay = max(1, round(settings.decay_share * settings.steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda s: min(1.0, (settings.steps - s) / decay))
    stream = _batches(data, settings.batch, seed)
    first, last, max_code, start = float("nan"), float("nan"), 0.0, time.monotonic()
    for step in progress(range(settings.steps), settings.steps, what):
        x = next(stream)
        loss, z = objectives.loss(sae, x, settings.objective, settings.l1_coefficient)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % CHECK_EVERY == 0 or step == settings.steps - 1:
            last, max_code = float(loss.detach()), max(max_code, float(z.detach().abs().max()))
            first = last if step == 0 else first
            if not last < float("inf"):
                raise ValueError(f"the loss is {last} at step {step}; lower `lr` or `slow_lr` of this teacher")
    for gate in gates:
        gate.compiled = False
    return Outcome(first, last, time.monotonic() - start, max_code, gate_path if gates else "plain")


def _groups(sae: SAE, settings: Settings, trains: tuple[str, ...]) -> list[dict[str, object]]:
    """Parameters by learning rate; those that no prefix in ``trains`` names stay as they are."""
    shape = {id(p) for part in (sae.gate, sae.refine) if part is not None for p in part.slow_parameters()}
    fast, slow = [], []
    for name, p in sae.named_parameters():
        p.requires_grad_(name.startswith(trains) and p.requires_grad)
        if p.requires_grad:
            (slow if id(p) in shape else fast).append(p)
    if not fast + slow:
        raise ValueError(f"no parameter's name begins with one of {trains}; nothing would be trained")
    groups = [{"params": fast, "lr": settings.lr}, {"params": slow, "lr": settings.slow_lr}]
    return [group for group in groups if group["params"]]


def _batches(data: Tensor, batch: int, seed: int) -> Iterator[Tensor]:
    """Full batches in fp32, every row once per pass, each pass in a new order."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        for rows in torch.randperm(len(data), generator=generator).split(batch):
            if len(rows) == batch:
                yield data[rows].float()
