"""One step of a fine-tune: ours with the paper's largest gate against ours with relu, and against other trainers."""

import copy
from contextlib import nullcontext
from typing import Any, get_args
from unittest import mock

import torch

from benchmarks.gate import rational
from benchmarks.peers import environment
from benchmarks.peers.dictionary_learning import NAME, PACKAGE, steps
from benchmarks.timing import Goal, alternate, row
from rsae.config.types import ALL_PARAMETERS, Objective, Precision
from rsae.sae.gates.base import Gate
from rsae.sae.gates.jumprelu import JumpReLU
from rsae.sae.gates.relu import ReLU
from rsae.sae.gates.topk import TopK
from rsae.sae.model import SAE
from rsae.sae.refine.base import Refinement
from rsae.sae.refine.resolvent import Resolvent
from rsae.training.compiled_step import Mode
from rsae.training.finetune import Settings, _Run
from rsae.training.objectives import Form
from rsae.training.parallel import ALONE

D_IN, D_SAE, BATCH = 256, 4096, 4096
SIZES = ((128, 2048, 24, 0.40), (576, 4608, 32, 0.30), (768, 24576, 32, 0.22))  # d_in, d_sae, k, what must be reached
SPARSE_BATCH, L0, PROPOSED = 512, 50, 1.5
SAE_LENS = "sae_lens SAETrainer, relu"


def ours(
    gate: Gate,
    d_in: int = D_IN,
    d_sae: int = D_SAE,
    batch: int = BATCH,
    device: str = "cpu",
    precision: Precision = "fp32",
    path: Mode = "eager",
    codes: Form = "dense",
    refine: Refinement | None = None,
    objective: Objective = "paper",
    b_enc: float = 0.0,
) -> _Run:
    """A fine-tune of a random SAE, with whatever the product does in a step; the first compiles a compiled one."""
    W_dec = torch.nn.functional.normalize(torch.randn(d_sae, d_in), dim=1)
    sae = SAE(W_dec.T.contiguous(), torch.full((d_sae,), b_enc), W_dec, torch.zeros(d_in), gate, refine=refine).to(
        device
    )
    settings = Settings(10**9, batch, lr=1e-5, slow_lr=1e-6, decay_share=0.2, l1_coefficient=0.1, precision=precision)
    with mock.patch.dict("os.environ", RSAE_STEP=path):
        run = _Run(sae, settings._replace(objective=objective), ALL_PARAMETERS, ALONE)
    run.take(codes)
    return run


def _sae_lens(batch: int) -> Any:
    from sae_lens import StandardTrainingSAEConfig, TrainingSAE  # slow to import, and not wanted by all who come here
    from sae_lens.config import LoggingConfig, SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    cfg: Any = StandardTrainingSAEConfig(d_in=D_IN, d_sae=D_SAE, apply_b_dec_to_input=True, l1_coefficient=0.1)
    trainer_cfg = SAETrainerConfig(
        total_training_samples=10**9, train_batch_size_samples=batch, lr=1e-5, lr_end=1e-5, lr_warm_up_steps=0,
        lr_decay_steps=0, logger=LoggingConfig(log_to_wandb=False),
    )  # fmt: skip
    sae: Any = TrainingSAE.from_dict(cfg.to_dict())
    return SAETrainer(trainer_cfg, sae, iter(()))


def _sparse(d_in: int, d_sae: int, arms: dict[str, dict[str, Any]], rounds: int = 7) -> dict[str, list[float]]:
    """Seconds of a step of each arm, which are arguments of :func:`ours`."""
    x = torch.randn(SPARSE_BATCH, d_in)
    runs = {
        name: ours(d_in=d_in, d_sae=d_sae, batch=SPARSE_BATCH, objective="own", **arm) for name, arm in arms.items()
    }
    return alternate({name: lambda run=run: run.advance(x) for name, run in runs.items()}, rounds)


def _exceeded(n: int, d_sae: int) -> float:
    """What ``n`` of a token's pre-activations exceed: of normal inputs and unit rows they are normal, of variance 1."""
    return float(torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor(1 - n / d_sae)))


def sparse() -> list[dict]:
    """Steps over active codes against dense ones, and a step of each refinement against its control's."""
    rows = []
    for d_in, d_sae, k, bound in SIZES:
        forms: tuple[Form, ...] = get_args(Form)
        seconds = _sparse(d_in, d_sae, {form: {"gate": TopK(k), "codes": form} for form in forms})
        what = f"step, topk {k} of {d_sae} at d_in {d_in}, sparse against dense"
        rows.append(row(what, seconds, "sparse", "dense", Goal(bound, False)))
    d_in, d_sae, k, _ = SIZES[-1]
    above = _exceeded(L0, d_sae)
    for name, gate in (("jumprelu", JumpReLU(torch.full((d_sae,), above))), ("relu", ReLU())):
        arms = {
            form: {"gate": copy.deepcopy(gate), "codes": form, "b_enc": -above * (name == "relu")} for form in forms
        }
        what = f"step, {name} at l0 {L0} of {d_sae}, sparse against dense"
        rows.append(row(what, _sparse(d_in, d_sae, arms, 5), "sparse", "dense", Goal(0.30, False)))
    for d_in, d_sae, k, _ in (SIZES[0], SIZES[-1]):
        arms = {
            "control": {"gate": TopK(k)},
            "resolvent": {"gate": TopK(k), "refine": Resolvent(torch.zeros(d_sae))},
            "pruned": {
                "gate": TopK(round(PROPOSED * k)),
                "refine": Resolvent(torch.zeros(d_sae), cut=_exceeded(k, d_sae)),
            },
        }
        seconds = _sparse(d_in, d_sae, {name: {**arm, "codes": "sparse"} for name, arm in arms.items()})
        for name, bound in (("resolvent", 1.5), ("pruned", 2.0)):
            what = f"step, {name} against its topk control, both sparse, {d_in} x {d_sae}, k {k}"
            rows.append(row(what, seconds, name, "control", Goal(bound, False) if d_sae > 10_000 else None))
    return rows


def run() -> list[dict]:
    """Batches are in memory: reading them is measured by itself."""
    return [*_compared(), *sparse()]


def _compared() -> list[dict]:
    torch.manual_seed(0)
    x = torch.randn(BATCH, D_IN)
    gates: dict[str, Gate] = {f"rational {degree}": rational(degree, 1) for degree in ((3, 2), (9, 8))}
    gates |= {"relu": ReLU(), "jumprelu": JumpReLU(torch.full((D_SAE,), 0.1)), "topk": TopK(32)}
    runs = {name: ours(gate) for name, gate in gates.items()}
    runs |= {f"{name}, compiled": ours(copy.deepcopy(gate), path="compiled") for name, gate in gates.items()}
    trainer, python = _sae_lens(BATCH), environment.found(environment.place(NAME), PACKAGE)

    def theirs() -> None:
        trainer.step(x)
        trainer.n_training_steps += 1

    contestants: dict[str, Any] = {name: lambda run=run: run.advance(x) for name, run in runs.items()}
    with steps(python, D_IN, D_SAE, BATCH) if python else nullcontext() as step:
        others = {SAE_LENS: theirs} | ({NAME: step} if step else {})
        seconds = alternate(contestants | others, rounds=11)  # one step in five takes twice as long as the rest
    mine = "rational (9, 8)"
    rows = [
        row("step, (9, 8) against our own relu step", seconds, mine, "relu", Goal(1.0, False)),
        row("step, (9, 8) against sae_lens's relu step", seconds, mine, SAE_LENS, Goal(0.75, False)),
        row("step, (3, 2) against our own relu step", seconds, "rational (3, 2)", "relu"),
        row("step, relu, ours against sae_lens's", seconds, "relu", SAE_LENS),
        *(row(f"step, {name}, compiled against eager", seconds, f"{name}, compiled", name) for name in gates),
    ]
    what = f"step, (9, 8) against {NAME}'s relu step"
    if step is None:
        return [*rows, {"what": what, "not_run": f"`python -m benchmarks.{NAME}` installs it first"}]
    return [*rows, row(what, seconds, mine, NAME)]
