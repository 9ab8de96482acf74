"""The fine-tune that every arm gets: the same loop, data order, optimiser and objective."""

import time
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from rsae.progress import progress
from rsae.sae import SAE

CHECK_EVERY = 50  # steps between looks at the loss


class Settings(NamedTuple):
    """What is the same for all arms of a teacher."""

    steps: int
    batch: int  # tokens
    lr: float
    slow_lr: float  # for a rational gate's coefficients and log-scales
    decay_share: float  # last part of the steps, over which the rates fall linearly to 0
    l1_coefficient: float


class Outcome(NamedTuple):
    """Facts for the run card."""

    loss_first: float
    loss_last: float
    seconds: float
    max_code: float


def upgrade_loss(
    x: Float[Tensor, "n_tok d_in"],
    x_hat: Float[Tensor, "n_tok d_in"],
    z: Float[Tensor, "n_tok d_sae"],
    l1_coefficient: float,
) -> Float[Tensor, ""]:
    """Mean over tokens of ‖x - x̂‖² + λ‖z‖₁.  [RSAE, Step 2]

    The error is summed over d_in: squared activation units per token. λ carries activation units.
    """
    return ((x - x_hat).square().sum(-1) + l1_coefficient * z.abs().sum(-1)).mean()


def finetune(sae: SAE, data: Float[Tensor, "n d_in"], settings: Settings, seed: int, what: str = "finetune") -> Outcome:
    """Train all parameters of ``sae`` in place.

    ``seed`` fixes the order of the data only; arms of one seed see the same batches, which is
    what makes their comparison a paired one.

    Raises:
        ValueError: fewer rows than one batch, or the loss stops being finite.
    """
    if len(data) < settings.batch:
        raise ValueError(f"{len(data)} activations are fewer than one batch of {settings.batch}")
    slow = sae.gate.slow_parameters()
    fast = [p for p in sae.parameters() if all(p is not s for s in slow)]
    groups = [{"params": fast, "lr": settings.lr}, {"params": slow, "lr": settings.slow_lr}]
    optimiser = torch.optim.Adam([g for g in groups if g["params"]], fused=True)
    decay = max(1, round(settings.decay_share * settings.steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda s: min(1.0, (settings.steps - s) / decay))
    stream = _batches(data, settings.batch, seed)
    first, last, max_code, start = float("nan"), float("nan"), 0.0, time.monotonic()
    for step in progress(range(settings.steps), settings.steps, what):
        x = next(stream)
        z = sae.encode(x)
        loss = upgrade_loss(x, sae.decode(z, x), z, settings.l1_coefficient)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % CHECK_EVERY == 0 or step == settings.steps - 1:
            last, max_code = float(loss.detach()), max(max_code, float(z.detach().abs().max()))
            first = last if step == 0 else first
            if not last < float("inf"):
                raise ValueError(f"the loss is {last} at step {step}; lower `lr` or `slow_lr` of this teacher")
    return Outcome(first, last, time.monotonic() - start, max_code)


def _batches(data: Tensor, batch: int, seed: int) -> Iterator[Tensor]:
    """Full batches in fp32, every row once per pass, each pass in a new order."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        for rows in torch.randperm(len(data), generator=generator).split(batch):
            if len(rows) == batch:
                yield data[rows].float()
