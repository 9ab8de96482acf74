"""The fine-tune that every arm gets: the same loop, data order and optimiser."""

import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from rsae.config.types import ALL_PARAMETERS, Objective, Precision
from rsae.data.activations import batches
from rsae.data.activations.shards import Shards
from rsae.runtime import matmul, resources
from rsae.runtime.checkpoint import Checkpoint
from rsae.runtime.device import device
from rsae.runtime.files import short
from rsae.runtime.precision import forward, training
from rsae.runtime.progress import progress
from rsae.sae.gates import kernels
from rsae.sae.gates.rational import Rational
from rsae.sae.model import SAE
from rsae.training import code_form, compiled_step, objectives
from rsae.training.parallel import ALONE, Alone, divided, number, whole

CHECK_EVERY = 50  # steps between looks at the loss
KEPT = ("step", "seconds", "first", "last", "max_code", "parts", "form")  # numbers of a fine-tune between two steps


class Settings(NamedTuple):
    """Budget, rates and objective of one fine-tune."""

    steps: int
    batch: int  # tokens
    lr: float
    slow_lr: float  # for the shape of a gate or refinement: coefficients, log-scales, log rho
    decay_share: float  # last part of the steps, over which the rates fall linearly to 0
    l1_coefficient: float  # λ, the price of sparsity; of L0 where the objective says so
    objective: Objective = "paper"
    precision: Precision = "fp32"  # of matrix products, on a GPU; see rsae.runtime.precision
    pool_gib: int = 8  # of activations in memory at once; the order of what is more depends on it


class Outcome(NamedTuple):
    """Facts for the run card."""

    loss_first: float
    loss_last: float
    seconds: float
    max_code: float
    gate_path: str  # see rsae.sae.gates.kernels.backend; plain where no gate is rational
    products: str  # see rsae.runtime.matmul.backend
    step: compiled_step.Mode
    codes: objectives.Form  # see rsae.training.code_form
    parts: int  # into which each batch was cut, for want of memory
    processes: int = 1
    by: str | None = None  # what the processes divided: token or feature


def finetune(
    sae: SAE,
    data: Float[Tensor, "n d_in"] | Shards,
    settings: Settings,
    seed: int,
    what: str = "finetune",
    trains: tuple[str, ...] = ALL_PARAMETERS,
    checkpoint: Checkpoint | None = None,
    group: Alone = ALONE,
) -> Outcome:
    """Train the parameters of ``sae`` whose names begin with one of ``trains``, in place.

    ``seed`` fixes the order of the data only; arms of one seed see the same batches, which is
    what makes their comparison a paired one. With a ``checkpoint``, a fine-tune that was interrupted
    goes on from it and ends, on a CPU, with the same bits.

    With a ``group`` of processes each calls this with the same arguments (but for who writes the checkpoint), and
    each ends with the whole SAE; how many there are may differ between an interruption and what continues it.

    Raises:
        ValueError: fewer rows than one batch, nothing to train, the loss stops being finite, or torch cannot compile
            a step and ``RSAE_STEP`` insists on it, or ``RSAE_CODES`` is no form of codes.
    """
    if len(data) < settings.batch:
        raise ValueError(f"{len(data)} activations are fewer than one batch of {settings.batch}")
    group.take(sae)
    run = _Run(sae, settings, trains, group)
    with checkpoint.watching() if checkpoint else nullcontext(), training(settings.precision):
        if checkpoint and (state := checkpoint.load()):
            run.restore(state)
        pool, where = settings.pool_gib * resources.GIB, sae.W_enc.device
        stream = batches.batches(data, settings.batch, seed, run.step, pool, where)
        for _ in progress(range(run.step, settings.steps), settings.steps - run.step, what):
            run.advance(next(stream))
            if checkpoint and group.any(checkpoint.due or run.step == settings.steps):
                checkpoint.save(run.state())
                checkpoint.stopping = group.any(checkpoint.stopping)  # all leave, and after the first has saved
                checkpoint.leave()
    with forward(settings.precision, where.type):
        library = "onednn" if matmul.takes(sae.W_enc) else "torch"
    group.give(sae)
    if run.form == "sparse":
        code_form.lay_out(sae, run.columns)  # as it came
    rational = any(isinstance(module, Rational) for module in sae.modules())
    gate_path = (kernels.backend(where.type) if group.compiles else "tiled") if rational else "plain"
    return Outcome(
        loss_first=run.first,
        loss_last=run.last,
        seconds=run.seconds,
        max_code=run.max_code,
        gate_path=gate_path,
        products=library,
        step=run.path,
        codes=run.form or "dense",
        parts=run.parts,
        processes=group.size,
        by=group.by,
    )


class _Run:
    """A fine-tune between two steps."""

    def __init__(self, sae: SAE, settings: Settings, trains: tuple[str, ...], group: Alone) -> None:
        self.sae, self.settings, self.group = sae, settings, group
        static = sae.refine is None and group.compiles  # the sizes of a refinement's systems depend on the data
        self.path: compiled_step.Mode = compiled_step.mode(sae.W_enc.device.type, settings.steps, static)
        self.loss = compiled_step.compiled(objectives.loss) if self.path == "compiled" else objectives.loss
        self.columns = not sae.W_enc.is_contiguous()
        self.able = self.path == "eager" and group.by is None  # to go over active codes
        self.form: objectives.Form | None = None  # chosen at the first batch, and kept to the end
        code_form.wanted()  # which raises before anything is computed
        self.optimiser = torch.optim.Adam(_groups(sae, settings, trains), fused=True)
        decay = max(1, round(settings.decay_share * settings.steps))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda s: min(1.0, (settings.steps - s) / decay)
        )
        self.step, self.seconds = 0, 0.0
        self.first, self.last, self.max_code = float("nan"), float("nan"), 0.0
        self.parts = 1

    def advance(self, x: Tensor) -> None:
        """One step of the optimiser; a look at the loss now and then, for looking takes time."""
        start = time.monotonic()
        if self.form is None:
            with forward(self.settings.precision, x.device.type):
                self.take(code_form.chosen(self.sae, x, self.able))
        look = self.step % CHECK_EVERY == 0 or self.step == self.settings.steps - 1
        found = self._gradients(x, look)
        turned = self.form == "sparse" and self.sae.W_enc.requires_grad
        with code_form.in_rows(self.sae.W_enc, self.optimiser) if turned else nullcontext():
            self.optimiser.step()
        self.schedule.step()
        if look:
            self.last = self.group.total(sum(loss for loss, _ in found))
            self.max_code = max(self.max_code, self.group.largest(max(code for _, code in found)))
            self.first = self.last if self.step == 0 else self.first
            if not self.last < float("inf"):
                raise ValueError(
                    f"the loss is {self.last} at step {self.step}; lower `lr` or `slow_lr` of this teacher"
                )
        self.step += 1
        self.seconds += time.monotonic() - start

    def take(self, form: objectives.Form) -> None:
        """Go on with this form of codes."""
        self.form = form
        if form == "sparse":
            code_form.lay_out(self.sae, columns=True)

    def _gradients(self, x: Tensor, look: bool) -> list[tuple[float, float]]:
        """Leave the gradients of the batch's loss; where it is looked at, (share of the loss, largest code) per part.

        Where memory is short the batch is halved until it fits, from then on: a loss is a mean over tokens, so
        the parts' gradients add up to the whole's. A step that cannot be compiled goes on without.

        Raises:
            ValueError: not even one token fits; or a step cannot be compiled, and somebody insists on it.
        """
        while True:
            self.optimiser.zero_grad(set_to_none=True)
            try:
                return self._accumulate(x, look)
            except RuntimeError as error:
                if compiled_step.out_of_memory(error) and self.group.halves:
                    self._halve(len(x))
                elif self.path == "compiled" and compiled_step.failed(error):
                    self._go_eager(error)
                else:
                    raise

    def _halve(self, n_tok: int) -> None:
        if self.parts >= n_tok:
            raise ValueError("not enough memory for the fine-tune of one token; take a larger machine") from None
        self.parts *= 2
        print(f"out of memory at step {self.step}: each batch now comes in {self.parts} parts", flush=True)
        if self.path == "compiled":
            self.loss = compiled_step.compiled(objectives.loss)  # two shapes at most, and not those of before

    def _go_eager(self, error: RuntimeError) -> None:
        reason = str(error).partition("\n\n")[0]  # what follows is for developers of torch
        said = f"torch cannot compile this fine-tune's step: {short(ValueError(reason))}"
        if compiled_step.insisted():
            raise ValueError(f"{said}; set RSAE_STEP=eager to do without") from error
        print(f"{said}; it goes on without", flush=True)
        self.path, self.loss = "eager", objectives.loss

    def _accumulate(self, x: Tensor, look: bool) -> list[tuple[float, float]]:
        found, mine = [], self.group.rows(x)
        for part in mine.split(-(-len(mine) // self.parts)):
            with forward(self.settings.precision, part.device.type):
                how = ("sparse",) if self.form == "sparse" else ()
                loss, z = self.loss(self.sae, part, self.settings.objective, self.settings.l1_coefficient, *how)
            loss = loss * (len(part) / len(x))
            loss.backward()
            if look:
                found.append((number(loss), number(z.abs().max()) if len(z) else 0.0))
        self.group.add(self.sae)
        return found

    def state(self) -> dict[str, Any]:
        """Everything that :meth:`restore` needs; the data's order follows from the step."""
        kept = {name: getattr(self, name) for name in KEPT}
        parts = {"sae": self.sae, "optimiser": self.optimiser, "schedule": self.schedule}
        return kept | {name: whole(part.state_dict()) for name, part in parts.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        for name in KEPT:
            setattr(self, name, state[name])
        if self.form is not None:
            self.take(self.form if self.able else "dense")
        own = self.sae.state_dict()
        self.sae.load_state_dict({name: divided(value, own[name]) for name, value in state["sae"].items()})
        self.optimiser.load_state_dict(state["optimiser"])
        for p, kept in self.optimiser.state.items():
            kept |= {name: divided(value, p) for name, value in kept.items() if value.shape == p.shape}
        self.schedule.load_state_dict(state["schedule"])
        print(f"continues at step {self.step} of {self.settings.steps}", flush=True)


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


def read_once(shards: Shards, teacher: SAE, pool_gib: int, batch: int) -> Tensor | Shards:
    """What fine-tunes of ``teacher`` read: rows beside them on a GPU, or in memory, or the shards themselves."""
    needed = resources.training(teacher.d_in, teacher.d_sae, batch)
    return batches.resident(shards, pool_gib * resources.GIB, device(), needed)
