"""λ and learning rate for a teacher, tried on tuning documents that no table ever reads."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from rsae.runtime.device import set_up_torch
from rsae.runtime.files import sealed, write_json
from rsae.sae.model import load
from rsae.training.trials import Trials

RULE = (
    "On tuning documents and hard codes: of the settings at which teacher_ft has at most the teacher's l0 and mse,"
    " the one with the lowest sum of mse over teacher_ft and rsae; where there is none, of those at which it has at"
    " most the teacher's l0, the one with the lowest mse of teacher_ft."
)


def run(
    starts: Mapping[str, Path],
    teacher: Path,
    activations: Path,
    threshold: Path,
    tuning: Path,
    out: Path,
    *,
    grid: Mapping[str, list[float]],
    order_seed: int,
    **fixed: Any,
) -> None:
    """Fine-tune every start with every combination of ``grid``; write mse and l0 on hard codes.

    ``fixed`` holds the fields of :class:`Settings` that are not tuned.
    """
    set_up_torch()
    trials = Trials(teacher, activations, threshold, tuning, order_seed, fixed)
    tried = [{"arm": "teacher", **trials.judge(trials.teacher)}]
    for values in product(*grid.values()):
        setting = dict(zip(grid, values, strict=True))
        for arm, start in starts.items():
            tried.append({"arm": arm, **setting, **trials.run(load(start), setting)})
            print(tried[-1], flush=True)
    write_json(out, sealed({"rule": RULE, "chosen": choose(tried), "tried": tried, "fixed": fixed}))


def choose(tried: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The setting that :data:`RULE` picks.

    Raises:
        ValueError: the control is denser than the teacher at every setting.
    """
    (teacher,) = (t for t in tried if t["arm"] == "teacher")
    by_setting: dict[tuple[float, float], dict[str, Mapping[str, Any]]] = {}
    for t in tried:
        if t is not teacher:
            by_setting.setdefault((t["l1_coefficient"], t["lr"]), {})[t["arm"]] = t
    sparse = {s: arms for s, arms in by_setting.items() if arms["teacher_ft"]["l0"] <= teacher["l0"]}
    if not sparse:
        raise ValueError("teacher_ft is denser than the teacher at every setting; add larger l1_coefficients")
    better = {s: arms for s, arms in sparse.items() if arms["teacher_ft"]["mse_sum"] <= teacher["mse_sum"]}
    if better:
        l1, lr = min(better, key=lambda s: sum(t["mse_sum"] for t in better[s].values()))
    else:
        l1, lr = min(sparse, key=lambda s: sparse[s]["teacher_ft"]["mse_sum"])
    return {"l1_coefficient": l1, "lr": lr}
