"""Fine-tune one arm, one seed after the other."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from rsae.arms import Kind, arms
from rsae.checkpoint import Checkpoint, until_done
from rsae.estimates import GIB
from rsae.files import digest, read_sealed, sealed, write_json
from rsae.shards import Shards
from rsae.shuffle import resident
from rsae.stages.common import load, set_up_torch, trained_from
from rsae.stages.threshold import Threshold
from rsae.upgrade.finetune import Settings, finetune
from rsae.upgrade.parallel import By, Follower, joined


def run(
    start: Path,
    teacher: Path,
    activations: Path,
    threshold: Path,
    tuning: Path | None,
    outs: Mapping[int, Path],
    reports: Mapping[int, Path],
    checkpoints: Path,
    *,
    arm: str,
    definition: str,
    kind: Kind,
    order_seeds: Mapping[str, int],
    takes: Sequence[str],
    by: By = "token",
    **budget: Any,
) -> None:
    """Train from ``start`` on cached activations; per seed, write the SAE and a report of the training.

    ``definition`` is the arm as declared in :mod:`rsae.arms`, ``arm`` its name in this suite; ``budget``
    holds the fields of :class:`Settings`, of which those in ``takes`` come from what ``tuning`` chose. The
    seeds share one process, hence one start of Python and one reading of the activations. Killed, the
    same call continues from what it left in the folder ``checkpoints``. Started by torchrun, the processes
    divide each batch, or the SAE, as ``by`` says; the first of them writes.
    """
    set_up_torch()
    source = load(teacher)
    shards = Shards(activations)
    if shards.d_in != source.d_in:
        raise ValueError(f"{activations} has d_in={shards.d_in}, the SAE {start} has {source.d_in}; wrong hook?")
    if tuning is not None:
        chosen = read_sealed(tuning)["chosen"]
        budget |= {name: chosen[name] for name in takes}
    settings, spec = Settings(**budget), arms(kind)[definition]
    data = resident(shards, settings.pool_gib * GIB)
    made_from = {"settings": settings._asdict(), **trained_from(__name__, spec, activations, start)}
    settled_on = Threshold(source, threshold)
    # until every seed is written, a kill makes Snakemake delete those that were
    with joined(by) as group, until_done(checkpoints) if group.rank == 0 else nullcontext():
        for seed, out in outs.items():
            sae = load(start)
            if spec.prepare is not None:
                sae = spec.prepare(sae)
            order_seed, what = order_seeds[str(seed)], f"finetune {arm} seed {seed}"
            kept = Checkpoint if group.rank == 0 else Follower
            checkpoint = kept(checkpoints / f"seed-{seed}.pt", digest(made_from | {"order_seed": order_seed}))
            outcome = finetune(sae, data, settings, order_seed, what, spec.trains, checkpoint, group)
            if group.rank > 0:
                continue
            facts = settled_on.settle(sae)
            sae.save(out, {"hook_name": shards.manifest["hook"], "arm": arm, **settings._asdict(), **facts})
            write_json(
                reports[seed],
                sealed(
                    {
                        "arm": arm,
                        "torch_threads": torch.get_num_threads(),
                        "tokens_trained": settings.steps * settings.batch,
                        "tokens_distinct": shards.n_tok,
                        "passes": settings.steps * settings.batch / shards.n_tok,
                        **outcome._asdict(),
                    }
                ),
            )
