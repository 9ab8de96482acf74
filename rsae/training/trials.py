"""Short fine-tunes that are judged on tuning documents, which no table ever reads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rsae.config.types import ALL_PARAMETERS
from rsae.data.activations.batches import chunks
from rsae.data.activations.shards import Shards
from rsae.runtime.checkpoint import Checkpoint
from rsae.sae.model import SAE, load
from rsae.sae.support import mean_l0
from rsae.training.finetune import Settings, finetune, read_once
from rsae.training.threshold import Threshold


class Trials:
    """Everything that the trials of one teacher share; ``fixed`` are the settings that are not tried."""

    def __init__(
        self, teacher: Path, activations: Path, threshold: Path, tuning: Path, order_seed: int, fixed: Mapping[str, Any]
    ) -> None:
        self.teacher = load(teacher)
        self.threshold = Threshold(self.teacher, threshold)
        self.data = read_once(Shards(activations), self.teacher, fixed["pool_gib"], fixed["batch"])
        self.held_out = list(chunks(Shards(tuning)))
        self.order_seed, self.fixed = order_seed, fixed

    def run(
        self,
        sae: SAE,
        setting: Mapping[str, float],
        trains: tuple[str, ...] = ALL_PARAMETERS,
        checkpoint: Checkpoint | None = None,
    ) -> dict[str, float]:
        """Fine-tune ``sae`` with one setting; its mse and l0 on hard codes."""
        settings = Settings(**{**self.fixed, **setting})
        finetune(sae, self.data, settings, self.order_seed, trains=trains, checkpoint=checkpoint)
        self.threshold.settle(sae)
        return self.judge(sae)

    @torch.no_grad()
    def judge(self, sae: SAE) -> dict[str, float]:
        """mse_sum and l0 on hard codes, on the tuning documents; ``l0_threshold`` on the threshold documents.

        There eps was settled, so a smooth gate has the teacher's l0 by construction; on other documents
        it is a little above or below by chance, and chance must not choose the setting.
        """
        error = sum(float((x - sae.decode(sae.hard(sae.encode(x)), x)).double().square().sum()) for x in self.held_out)
        return {
            "mse_sum": error / sum(map(len, self.held_out)),
            "l0": mean_l0(sae, self.held_out),
            "l0_threshold": mean_l0(sae, self.threshold.data),
        }
