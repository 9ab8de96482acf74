"""Fine-tune one arm of a pair, or several, one seed after the other."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from rsae.arms import arms as declared
from rsae.config.types import By, Kind
from rsae.data.activations.shards import Shards
from rsae.runtime.checkpoint import Checkpoint, until_done
from rsae.runtime.device import set_up_torch
from rsae.runtime.files import digest, read_sealed, sealed, write_json
from rsae.sae.model import load
from rsae.stages.made_from import trained_from
from rsae.training.finetune import Settings, finetune, read_once
from rsae.training.parallel import Alone, Follower, joined
from rsae.training.threshold import Threshold

SHARED = ("teacher", "activations", "threshold")  # folders that the arms of a pair have in common


def run(arms: Mapping[str, Mapping[str, Any]], *, settings: Mapping[str, Mapping[str, Any]], by: By = "token") -> None:
    """Train arms of one pair from one reading of its activations.

    ``arms`` and ``settings`` hold, by arm, the folders in :data:`SHARED` and what :func:`_train` takes.

    Killed, the same call continues from what it left in the arms' folders of checkpoints. Started by torchrun, the
    processes divide each batch, or the SAE, as ``by`` says; the first of them writes.

    Raises:
        ValueError: the activations are of another width than the teacher.
    """
    set_up_torch()
    wanted = [{**paths, **settings[arm]} for arm, paths in arms.items()]
    pair = _Pair(**{name: wanted[0][name] for name in (*SHARED, "pool_gib", "batch")})
    with joined(by) as group, ExitStack() as stack:
        # until every arm and seed is written, a kill makes Snakemake delete those that were
        for arm in wanted if group.rank == 0 else []:
            stack.enter_context(until_done(arm["checkpoints"]))
        for arm in wanted:
            _train(pair, group, **{name: value for name, value in arm.items() if name not in SHARED})


class _Pair:
    """What the arms of a pair have in common. Activations are read once where the pool holds them."""

    def __init__(self, teacher: Path, activations: Path, threshold: Path, pool_gib: int, batch: int) -> None:
        self.teacher, self.shards = load(teacher), Shards(activations)
        if self.shards.d_in != self.teacher.d_in:
            raise ValueError(
                f"{activations} has d_in={self.shards.d_in}, the SAE {teacher} has {self.teacher.d_in}; wrong hook?"
            )
        self.data = read_once(self.shards, self.teacher, pool_gib, batch)
        self.threshold = Threshold(self.teacher, threshold)


def _train(
    pair: _Pair,
    group: Alone,
    *,
    start: Path,
    tuning: Path | None,
    outs: Mapping[int, Path],
    reports: Mapping[int, Path],
    checkpoints: Path,
    arm: str,
    definition: str,
    kind: Kind,
    order_seeds: Mapping[str, int],
    takes: Sequence[str],
    **budget: Any,
) -> None:
    """Train from ``start``; per seed, write the SAE and a report of the training.

    ``definition`` is the arm as declared in :mod:`rsae.arms`, ``arm`` its name in this suite; ``budget``
    holds the fields of :class:`Settings`, of which those in ``takes`` come from what ``tuning`` chose.
    """
    if tuning is not None:
        chosen = read_sealed(tuning)["chosen"]
        budget |= {name: chosen[name] for name in takes}
    settings, spec, shards = Settings(**budget), declared(kind)[definition], pair.shards
    made_from = {"settings": settings._asdict(), **trained_from(__name__, spec, pair.shards.folder, start)}
    for seed, out in outs.items():
        sae = load(start)
        if spec.prepare is not None:
            sae = spec.prepare(sae)
        order_seed, what = order_seeds[str(seed)], f"finetune {arm} seed {seed}"
        kept = Checkpoint if group.rank == 0 else Follower
        checkpoint = kept(checkpoints / f"seed-{seed}.pt", digest(made_from | {"order_seed": order_seed}))
        outcome = finetune(sae, pair.data, settings, order_seed, what, spec.trains, checkpoint, group)
        if group.rank > 0:
            continue
        facts = pair.threshold.settle(sae)
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
