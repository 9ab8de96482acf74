"""The run itself: control and upgraded SAE get the same budget, tuning documents choose."""

import copy
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rsae.api import judge
from rsae.api.given import BLOCK, KINDS, Split, activations_of, split, teacher_of
from rsae.arms import Arm, Inputs, arms
from rsae.evaluate import verify
from rsae.files import replacing, write_json
from rsae.report import cells
from rsae.report.cells import Pair
from rsae.report.metrics import RECONSTRUCTION
from rsae.sae import SAE
from rsae.stages.fit_gate import run as fit_gate
from rsae.stages.tune_arm import choose
from rsae.support import mean_l0, smallest_eps
from rsae.upgrade.finetune import Settings, finetune
from rsae.upgrade.price import own_coefficient

GATES = {"resolvent": "resolvent", "rational": "rsae"}  # what people say: the tuned arm
LRS = (1e-4, 3e-4, 1e-3)
JUMP = {"theta": 0.1, "delta": 0.02}  # the design problem of the embedded suite


class Upgraded(NamedTuple):
    """What :func:`upgrade` found; ``print`` it."""

    sae: SAE  # the upgraded one, its support settled
    arms: dict[str, SAE]
    helped: bool  # on hard codes, mse below both the teacher's and teacher_ft's, l0 not above the teacher's
    verdict: str
    table: str
    pair: Pair  # per-document sums of all arms
    facts: dict[str, Any]  # for the card
    metadata: dict[str, Any]  # of the given SAE

    def __str__(self) -> str:
        """Table and verdict."""
        return f"{self.table}\n\n{self.verdict}"

    def save(self, folder: Path | str) -> None:
        """Write ``sae/``, ``cells.csv`` and ``run-card.json`` into ``folder``, where ``rsae push`` finds them."""
        folder = Path(folder)
        self.sae.save(folder / "sae", {**self.metadata, "arm": self.facts["arm"]})
        with replacing(folder / "cells.csv") as temporary:
            cells.frame("upgrade", [self.pair], [*RECONSTRUCTION]).to_csv(temporary, index=False, float_format="%.9g")
        write_json(folder / "run-card.json", {**self.facts, "verdict": self.verdict})

    def to_sae_lens(self) -> Any:
        """sae_lens's object, which gives hard codes."""
        from rsae.saelens import convert

        return convert(self.sae, {**self.metadata, "arm": self.facts["arm"]})


def upgrade(
    sae: Any,
    data: Any,
    gate: str = "resolvent",
    *,
    documents: Any = None,
    host: Path | str | None = None,
    hook: str | None = None,
    steps: int = 300,
    batch: int = 512,
    lrs: Sequence[float] = LRS,
    l1_coefficient: float | None = None,
    seed: int = 0,
) -> Upgraded:
    """Give ``sae`` another gate, fine-tune it and, as a control, the SAE itself; judge all on held-out documents.

    ``sae``: an SAE of sae_lens or of this project, or the folder of one. ``data``: activations
    [n_tok, d_in] at its site, or token ids [n_row, len] together with ``host`` (a folder with a Hugging
    Face model) and ``hook``; a position at which every row has the same first id is BOS and left out.
    ``documents`` [n_tok] says which document each activation comes from; rows of ids are documents.
    Without it, stretches of 128 tokens stand for documents, and the last fifth is the test.

    ``gate``: ``resolvent`` keeps the teacher's gate and refines its codes on their support (ours);
    ``rational`` is the paper's. Control and upgraded SAE get three fine-tunes each of ``steps`` batches,
    of which tuning documents choose one: over ``lrs``, for the rational gate over λ at the middle rate.
    ``l1_coefficient`` is λ of the teacher's own objective; left out, it is read off the teacher.
    ``steps=0`` trains nothing, and then there is no control. Fine-tunes run on a GPU where there is one.

    Raises:
        ValueError: an SAE that is not supported or explains nothing of ``data``, too few documents or
            activations, another width; each names the remedy.
    """
    if gate not in GATES:
        raise ValueError(f"gate must be one of {', '.join(GATES)}, got {gate!r}")
    teacher, metadata = teacher_of(sae)
    metadata |= {"hook_name": hook} if hook else {}
    x, documents = activations_of(data, documents, host, metadata.get("hook_name"))
    if x.shape[1] != teacher.d_in:
        raise ValueError(f"the SAE expects d_in={teacher.d_in}, the activations have {x.shape[1]}; wrong hook or host?")
    splits = split(x, documents, seed)
    mean = splits["test"].x.double().mean(0)
    l0, explained = verify.reconstruction(
        verify.codes_and_output(teacher), splits["calibration"].chunks, splits["calibration"].x.double().mean(0)
    )
    print(f"teacher: l0 {l0:.4g}, explained variance {explained:.4g} on {len(splits['calibration'].x)} activations")
    if not explained > 0:
        raise ValueError(
            f"this SAE explains nothing of these activations (explained variance {explained:.3g}): check hook, host,"
            " BOS and normalisation before upgrading it"
        )
    kind = KINDS[teacher.gate.architecture]
    tuned = arms(kind)[GATES[gate]]
    assert tuned.start is not None
    start, facts = _untuned(arms(kind)[tuned.start], teacher, splits)
    _settle(start, teacher, splits["threshold"])
    contestants = {"teacher": teacher, tuned.start: start}
    card: dict[str, Any] = {
        "arm": tuned.name if steps else tuned.start,
        "gate": gate,
        "kind": kind,
        "steps": steps,
        "batch": batch,
        "seed": seed,
        "untuned": facts,
        "documents": f"stretches of {BLOCK} tokens" if documents is None else "given",
        "n_tok": {name: len(s.x) for name, s in splits.items()},
        "device": _device(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if steps:
        price = own_coefficient(teacher, splits["calibration"].chunks) if l1_coefficient is None else l1_coefficient
        same = {"steps": steps, "batch": batch, "slow_lr": 1e-3, "decay_share": 0.2, "objective": "own"}
        by_rate = [{**same, "lr": lr, "l1_coefficient": price} for lr in lrs]
        grids = {"teacher_ft": by_rate, tuned.name: by_rate}
        if gate == "rational":
            middle = sorted(lrs)[len(lrs) // 2]
            grids[tuned.name] = [{**same, "lr": middle, "l1_coefficient": p} for p in _prices(teacher, price, splits)]
        starts = {"teacher_ft": teacher, tuned.name: start}
        print(_estimate(starts, grids, splits["finetune"].x))
        for name, grid in grids.items():
            contestants[name], card[name] = _best_of(name, starts[name], teacher, splits, grid, seed)
        card["l1_coefficient"] = {"value": price, "from": "the teacher" if l1_coefficient is None else "given"}
    order = [n for n in ("teacher", "teacher_ft", tuned.start, tuned.name) if n in contestants]
    pair = Pair("given", "given", judge.judged({n: contestants[n] for n in order}, splits["test"], mean), seed)
    helped, verdict = judge.verdict(pair, card["arm"])
    return Upgraded(
        contestants[card["arm"]], contestants, helped, verdict, judge.table(pair, order), pair, card, metadata
    )


def _untuned(arm: Arm, teacher: SAE, splits: Mapping[str, Split]) -> tuple[SAE, dict[str, Any]]:
    assert arm.build is not None
    fit = None
    if arm.design is not None:
        jump: dict[str, Any] = JUMP if arm.design.target == "jumprelu" else {}
        fit = fit_gate(target=arm.design.target, degree=arm.design.degree, **jump)
    return arm.build(teacher, Inputs(list(splits["calibration"].chunks), fit, False))


def _settle(sae: SAE, teacher: SAE, threshold: Split) -> None:
    if not sae.gate.exact_zeros:
        sae.eps = 0.0
        sae.eps = smallest_eps(sae, threshold.chunks, mean_l0(teacher, threshold.chunks))


@torch.no_grad()
def _prices(teacher: SAE, own: float, splits: Mapping[str, Split]) -> list[float]:
    """λ to try for a rational gate: about the teacher's own l1, else about what makes codes as dear as their error."""
    if teacher.gate.architecture == "standard":
        return [own / 2, own, 2 * own]
    error = price = 0.0
    for x in splits["calibration"].chunks:
        z = teacher.encode(x)
        error += float((x - teacher.decode(z, x)).square().sum())
        price += float(teacher.strength(z).sum())
    return [error / price * factor for factor in (1, 2, 4)]


def _best_of(
    name: str, start: SAE, teacher: SAE, splits: Mapping[str, Split], grid: Sequence[Mapping[str, Any]], seed: int
) -> tuple[SAE, dict[str, Any]]:
    """Fine-tune once per setting; the one that tuning documents choose, by the suite's rule."""
    device, tried, judged = _device(), [], []
    data, held_out = splits["finetune"].x.to(device), splits["tuning"]
    for setting in grid:
        sae = copy.deepcopy(start).to(device)
        outcome = finetune(sae, data, Settings(**setting), seed, f"fine-tune {name}")
        _settle(sae.cpu(), teacher, splits["threshold"])
        sums = judge.columns(sae, held_out, held_out.x.double().mean(0))["hard"]
        ones = np.ones((1, len(sums["n_tok"])))
        figures = {m: float(RECONSTRUCTION[m].value(sums, ones)[0]) for m in ("mse_sum", "l0")}
        judged.append({**figures, "l0_threshold": mean_l0(sae, splits["threshold"].chunks)})
        tried.append((sae, {**setting, **judged[-1], "seconds": outcome.seconds}))
    best = choose(judged, mean_l0(teacher, splits["threshold"].chunks))
    sae, chosen = next(t for t, found in zip(tried, judged, strict=True) if found is best)
    return sae, {"chosen": chosen, "tried": [facts for _, facts in tried]}


def _estimate(starts: Mapping[str, SAE], grids: Mapping[str, Sequence[Any]], x: Tensor) -> str:
    """How long the fine-tunes will take, from a few steps of each on this machine."""
    total, device = 0.0, _device()
    for name, start in starts.items():
        sae = copy.deepcopy(start).to(device)
        setting = Settings(**{**grids[name][0], "steps": 3})
        began = time.monotonic()
        if len(x) >= setting.batch:
            finetune(sae, x.to(device), setting, 0, f"three steps of {name}")
        total += (time.monotonic() - began) / 3 * sum(g["steps"] for g in grids[name])
    n = sum(map(len, grids.values()))
    return f"{n} fine-tunes of {next(iter(grids.values()))[0]['steps']} steps on {device}: about {total:.0f} s"


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
