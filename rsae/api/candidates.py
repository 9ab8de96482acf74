"""Who may be the upgraded SAE: untuned, or fine-tuned in several ways. Tuning documents choose."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rsae.api.inputs import Split
from rsae.arms import Arm, Inputs
from rsae.rational.record import fitted
from rsae.runtime.device import device, named
from rsae.sae.model import SAE
from rsae.training.finetune import Settings, finetune
from rsae.training.threshold import Threshold
from rsae.training.trials import RULES, Trials, choose

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


def trials_of(teacher: SAE, splits: Mapping[str, Split], seed: int) -> Trials:
    """Fine-tunes on one split, supports by another, the judgement by a third; all on the device."""
    at = device()
    threshold, tuning = ([x.to(at) for x in splits[name].chunks] for name in ("threshold", "tuning"))
    return Trials(Threshold(copy.deepcopy(teacher).to(at), threshold), splits["finetune"].x.to(at), tuning, seed)


def best(candidates: Sequence[Candidate], trials: Trials) -> Candidate:
    """The one that the suites' rule picks."""
    figures = choose([c.figures for c in candidates], {"l0_threshold": trials.threshold.l0})
    return next(c for c in candidates if c.figures is figures)


def why(candidates: Sequence[Candidate], trials: Trials) -> str:
    """Whom it picks, among whom, by which rule."""
    chosen = best(candidates, trials)
    others = "; ".join(str(c) for c in candidates if c is not chosen)
    return f"Chosen: {chosen}. Not chosen: {others or 'nobody else'}. {RULES['own'][0]}"


def untuned(arm: Arm, teacher: SAE, splits: Mapping[str, Split], trials: Trials) -> tuple[Candidate, dict[str, Any]]:
    """The teacher with another gate or a refinement, calibrated and not trained; and facts of it."""
    assert arm.build is not None
    fit = None
    if arm.design is not None:
        jump: dict[str, Any] = JUMP if arm.design.target == "jumprelu" else {}
        fit = fitted(target=arm.design.target, degree=arm.design.degree, **jump)
    sae, facts = arm.build(teacher, Inputs(list(splits["calibration"].chunks), fit, False))
    sae.to(device())
    trials.threshold.settle(sae)
    figures = trials.judge(sae)
    return Candidate(arm.name, sae.cpu(), figures, {}), facts


def tuned(arm: Arm, start: SAE, trials: Trials, grid: Sequence[Mapping[str, Any]]) -> list[Candidate]:
    """One fine-tune per setting."""
    found = []
    for setting in grid:
        sae = copy.deepcopy(start).to(device())
        outcome = trials.train(sae, setting, arm.trains, what=f"fine-tune {arm.name}")
        figures = trials.judge(sae)
        found.append(Candidate(arm.name, sae.cpu(), figures, {**setting, "seconds": outcome.seconds}))
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
