"""Short fine-tunes that are judged on tuning documents, which no table ever reads, and the choice among them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from rsae.config.types import ALL_PARAMETERS
from rsae.data.activations.shards import Shards
from rsae.runtime.checkpoint import Checkpoint
from rsae.sae.model import SAE
from rsae.sae.support import mean_l0
from rsae.training.finetune import Outcome, Settings, finetune
from rsae.training.threshold import Threshold

Rule = Literal["own", "shared"]
Figures = Mapping[str, Any]  # of one trial: its arm and setting, mse_sum, l0, l0_threshold


class Trials:
    """What the trials of one teacher share: where supports are settled, the data, and who judges.

    ``held_out`` are tuning documents [n_tok, d_in] in chunks; everything lies on one device.
    """

    def __init__(
        self, threshold: Threshold, data: Float[Tensor, "n d_in"] | Shards, held_out: Sequence[Tensor], order_seed: int
    ) -> None:
        self.threshold, self.data, self.held_out, self.order_seed = threshold, data, held_out, order_seed

    def train(
        self,
        sae: SAE,
        setting: Mapping[str, Any],
        trains: tuple[str, ...] = ALL_PARAMETERS,
        checkpoint: Checkpoint | None = None,
        what: str = "finetune",
    ) -> Outcome:
        """Fine-tune ``sae`` in place with the fields of :class:`Settings`, and settle its support."""
        outcome = finetune(sae, self.data, Settings(**setting), self.order_seed, what, trains, checkpoint)
        self.threshold.settle(sae)
        return outcome

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


SLACK = 1.01  # an l0 that is 1% off is not another l0; without it a rate would be dropped for a feature in 30 tokens


def choose(tried: Sequence[Figures], teacher: Figures) -> Figures:
    """What the rule ``own`` picks."""
    sparse = [t for t in tried if t["l0_threshold"] <= SLACK * teacher["l0_threshold"]]
    return min(sparse, key=lambda t: t["mse_sum"]) if sparse else min(tried, key=lambda t: t["l0_threshold"])


def choose_shared(tried: Sequence[Figures], teacher: Figures) -> Figures:
    """What the rule ``shared`` picks: the control's trial with the setting that all arms take.

    Raises:
        ValueError: the control is denser than the teacher at every setting.
    """
    by_setting: dict[tuple[float, float], dict[str, Figures]] = {}
    for t in tried:
        by_setting.setdefault((t["l1_coefficient"], t["lr"]), {})[t["arm"]] = t
    sparse = [arms for arms in by_setting.values() if arms["teacher_ft"]["l0"] <= teacher["l0"]]
    if not sparse:
        raise ValueError("teacher_ft is denser than the teacher at every setting; add larger l1_coefficients")
    better = [arms for arms in sparse if arms["teacher_ft"]["mse_sum"] <= teacher["mse_sum"]]
    if better:
        return min(better, key=lambda arms: sum(t["mse_sum"] for t in arms.values()))["teacher_ft"]
    return min((arms["teacher_ft"] for arms in sparse), key=lambda t: t["mse_sum"])


RULES: dict[Rule, tuple[str, Callable[[Sequence[Figures], Figures], Figures]]] = {
    "own": (
        "On hard codes: of the settings at which the arm has at most 1% more than the teacher's l0 on threshold"
        " documents, the one with the lowest mse on tuning documents; where there is none, the one with the lowest l0.",
        choose,
    ),
    "shared": (
        "On tuning documents and hard codes: of the settings at which teacher_ft has at most the teacher's l0 and mse,"
        " the one with the lowest sum of mse over teacher_ft and rsae; where there is none, of those at which it has at"
        " most the teacher's l0, the one with the lowest mse of teacher_ft.",
        choose_shared,
    ),
}
