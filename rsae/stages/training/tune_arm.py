"""One arm's own λ and learning rate: the same number of trials for every arm."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from rsae.arms import arms
from rsae.config.types import Kind
from rsae.runtime.checkpoint import Checkpoint, until_done
from rsae.runtime.device import set_up_torch
from rsae.runtime.files import digest, sealed, write_json
from rsae.sae.model import load
from rsae.stages.made_from import trained_from
from rsae.training.trials import Trials

SLACK = 1.01  # an l0 that is 1% off is not another l0; without it a rate would be dropped for a feature in 30 tokens
RULE = (
    "On hard codes: of the settings at which the arm has at most 1% more than the teacher's l0 on threshold documents,"
    " the one with the lowest mse on tuning documents; where there is none, the one with the lowest l0."
)


def run(
    start: Path,
    teacher: Path,
    activations: Path,
    threshold: Path,
    tuning: Path,
    checkpoints: Path,
    out: Path,
    *,
    definition: str,
    kind: Kind,
    grid: Mapping[str, list[float]],
    order_seed: int,
    **fixed: Any,
) -> None:
    """Fine-tune the arm with every combination of ``grid`` and one seed; write all of them and the choice.

    Killed, the same call continues from what it left in the folder ``checkpoints``: trials that were through are judged
    again, and not trained again.
    """
    set_up_torch()
    trials, spec = Trials(teacher, activations, threshold, tuning, order_seed, fixed), arms(kind)[definition]
    reference = trials.judge(trials.teacher)
    made_from = {"fixed": {**fixed, "order_seed": order_seed}, **trained_from(__name__, spec, activations, start)}
    tried = []
    with until_done(checkpoints):
        for i, values in enumerate(product(*grid.values())):
            setting = dict(zip(grid, values, strict=True))
            sae = load(start)
            sae = spec.prepare(sae) if spec.prepare else sae
            kept = Checkpoint(checkpoints / f"trial-{i}.pt", digest(made_from | {"setting": setting}))
            tried.append({**setting, **trials.run(sae, setting, spec.trains, kept)})
            print(tried[-1], flush=True)
        best = choose(tried, reference["l0_threshold"])
        chosen = {name: best[name] for name in grid}
        write_json(out, sealed({"rule": RULE, "teacher": reference, "chosen": chosen, "tried": tried, "fixed": fixed}))


def choose(tried: Sequence[Mapping[str, float]], l0: float) -> Mapping[str, float]:
    """What :data:`RULE` picks, ``l0`` being the teacher's on threshold documents."""
    sparse = [t for t in tried if t["l0_threshold"] <= SLACK * l0]
    return min(sparse, key=lambda t: t["mse_sum"]) if sparse else min(tried, key=lambda t: t["l0_threshold"])
