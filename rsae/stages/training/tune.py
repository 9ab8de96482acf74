"""λ and learning rate, tried on tuning documents that no table ever reads: of one arm, or of a teacher for its arms."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

from rsae.arms import arms as declared
from rsae.config.types import Kind
from rsae.data.activations.batches import chunks
from rsae.data.activations.shards import Shards
from rsae.runtime.checkpoint import Checkpoint, until_done
from rsae.runtime.device import set_up_torch
from rsae.runtime.files import digest, sealed, write_json
from rsae.sae.model import load
from rsae.stages.made_from import trained_from
from rsae.training.finetune import read_once
from rsae.training.threshold import Threshold
from rsae.training.trials import RULES, Rule, Trials


def run(
    starts: Mapping[str, Path],
    teacher: Path,
    activations: Path,
    threshold: Path,
    tuning: Path,
    checkpoints: Path,
    out: Path,
    *,
    definitions: Mapping[str, str],
    rule: Rule,
    kind: Kind,
    grid: Mapping[str, list[float]],
    order_seed: int,
    **fixed: Any,
) -> None:
    """Fine-tune every arm with every combination of ``grid`` and one seed; write all of them and the choice.

    ``starts`` holds the SAE that each arm is trained from, ``definitions`` the arm as declared in :mod:`rsae.arms`,
    ``fixed`` the fields of :class:`Settings` that are not tried.

    Killed, the same call continues from what it left in the folder ``checkpoints``: trials that were through are judged
    again, and not trained again.
    """
    set_up_torch()
    words, choose = RULES[rule]
    reference = load(teacher)
    data = read_once(Shards(activations), reference, fixed["pool_gib"], fixed["batch"])
    held_out = list(chunks(Shards(tuning)))
    trials = Trials(Threshold(reference, threshold), data, held_out, order_seed)
    figures = trials.judge(reference)
    specs = {arm: declared(kind)[definition] for arm, definition in definitions.items()}
    made_from = {
        arm: {"fixed": {**fixed, "order_seed": order_seed}, **trained_from(__name__, specs[arm], activations, start)}
        for arm, start in starts.items()
    }
    tried = []
    with until_done(checkpoints):
        for i, values in enumerate(product(*grid.values())):
            setting = dict(zip(grid, values, strict=True))
            for arm, start in starts.items():
                sae, spec = load(start), specs[arm]
                sae = spec.prepare(sae) if spec.prepare else sae
                kept = Checkpoint(checkpoints / f"{arm}-{i}.pt", digest(made_from[arm] | {"setting": setting}))
                trials.train(sae, {**fixed, **setting}, spec.trains, kept)
                tried.append({"arm": arm, **setting, **trials.judge(sae)})
                print(tried[-1], flush=True)
        best = choose(tried, figures)
        chosen = {name: best[name] for name in grid}
        write_json(out, sealed({"rule": words, "teacher": figures, "chosen": chosen, "tried": tried, "fixed": fixed}))
