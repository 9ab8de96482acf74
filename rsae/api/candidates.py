"""Who may be the upgraded SAE: untuned, or fine-tuned in several ways. Tuning documents choose."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rsae.api import verdict
from rsae.api.inputs import Split
from rsae.arms import Arm, Inputs
from rsae.rational.record import fitted
from rsae.report.stats.metrics import RECONSTRUCTION
from rsae.runtime.device import device, named
from rsae.sae.model import SAE
from rsae.sae.support import mean_l0, settle
from rsae.stages.training.tune_arm import RULE, choose
from rsae.training.finetune import Settings, finetune

JUMP = {"theta": 0.1, "delta": 0.02}  # the design problem of the embedded suite


class Candidate(NamedTuple):
    """An SAE, its support settled, and what tuning documents say of it."""

    arm: str
    sae: SAE
    figures: dict[str, float]  # mse_sum and l0 on tuning documents, l0_threshold
    made: Mapping[str, Any]  # settings of its fine-tune, seconds; empty where there was none

    @property
    def facts(self) -> dict[str, Any]:
        """For the card."""
        return {**self.made, **self.figures}

    def __str__(self) -> str:
        """For people."""
        how = f"lr {self.made['lr']:g}, λ {self.made['l1_coefficient']:.4g}" if self.made else "untrained"
        return f"{self.arm} ({how}): mse {self.figures['mse_sum']:.4g} at l0 {self.figures['l0']:.4g}"


class Jury:
    """The teacher, the splits, and the rule by which tuning documents choose."""

    def __init__(self, teacher: SAE, splits: Mapping[str, Split]) -> None:
        self.teacher, self.splits = teacher, splits
        self.l0 = mean_l0(teacher, splits["threshold"].chunks)

    def settled(self, sae: SAE) -> SAE:
        """With the eps, or the cut, at which it is no denser than the teacher on threshold documents."""
        settle(sae, self.splits["threshold"].chunks, self.l0)
        return sae

    def heard(self, arm: str, sae: SAE, made: Mapping[str, Any]) -> Candidate:
        """``sae``, judged on tuning documents."""
        split = self.splits["tuning"]
        sums = verdict.columns(sae, split, split.x.double().mean(0))["hard"]
        ones = np.ones((1, len(sums["n_tok"])))
        found = {m: float(RECONSTRUCTION[m].value(sums, ones)[0]) for m in ("mse_sum", "l0")}
        found["l0_threshold"] = mean_l0(sae, self.splits["threshold"].chunks)
        return Candidate(arm, sae, found, made)

    def best(self, candidates: Sequence[Candidate]) -> Candidate:
        """The one that the suites' rule picks."""
        figures = choose([c.figures for c in candidates], self.l0)
        return next(c for c in candidates if c.figures is figures)

    def why(self, candidates: Sequence[Candidate]) -> str:
        """Whom it picks, among whom, by which rule."""
        best = self.best(candidates)
        others = "; ".join(str(c) for c in candidates if c is not best)
        return f"Chosen: {best}. Not chosen: {others or 'nobody else'}. {RULE}"


def untuned(arm: Arm, teacher: SAE, splits: Mapping[str, Split]) -> tuple[SAE, dict[str, Any]]:
    """The teacher with another gate or a refinement, calibrated and not trained."""
    assert arm.build is not None
    fit = None
    if arm.design is not None:
        jump: dict[str, Any] = JUMP if arm.design.target == "jumprelu" else {}
        fit = fitted(target=arm.design.target, degree=arm.design.degree, **jump)
    return arm.build(teacher, Inputs(list(splits["calibration"].chunks), fit, False))


def tuned(arm: Arm, start: SAE, jury: Jury, grid: Sequence[Mapping[str, Any]], seed: int) -> list[Candidate]:
    """One fine-tune per setting."""
    at = device()
    data = jury.splits["finetune"].x.to(at)
    found = []
    for setting in grid:
        sae = copy.deepcopy(start).to(at)
        outcome = finetune(sae, data, Settings(**setting), seed, f"fine-tune {arm.name}", arm.trains)
        found.append(jury.heard(arm.name, jury.settled(sae.cpu()), {**setting, "seconds": outcome.seconds}))
    return found


def estimate(starts: Mapping[str, SAE], grids: Mapping[str, Sequence[Any]], x: Tensor) -> str:
    """How long the fine-tunes will take, from a few steps of each on this machine."""
    total, at = 0.0, device()
    for name, start in starts.items():
        sae = copy.deepcopy(start).to(at)
        setting = Settings(**{**grids[name][0], "steps": 3})
        if len(x) < setting.batch:
            continue
        seconds = [finetune(sae, x.to(at), setting, 0, f"three steps of {name}").seconds for _ in ("warm-up", "timed")]
        total += seconds[1] / 3 * sum(g["steps"] for g in grids[name])
    n = sum(map(len, grids.values()))
    return f"{n} fine-tunes of {next(iter(grids.values()))[0]['steps']} steps on {named()}: about {total:.0f} s"


@torch.no_grad()
def prices(teacher: SAE, own: float, splits: Mapping[str, Split]) -> list[float]:
    """λ to try for a rational gate: about the teacher's own l1, else about what makes codes as dear as their error."""
    if teacher.gate.architecture == "standard":
        return [own / 2, own, 2 * own]
    error = price = 0.0
    for x in splits["calibration"].chunks:
        z = teacher.encode(x)
        error += float((x - teacher.decode(z, x)).square().sum())
        price += float(teacher.strength(z).sum())
    return [error / price * factor for factor in (1, 2, 4)]
