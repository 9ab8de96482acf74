"""Per-document sums to ``cells.csv`` and to the three tables that a person reads."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import safe_open

from rsae.report.stats import cells, fairness
from rsae.report.stats.metrics import DOWNSTREAM, RECONSTRUCTION
from rsae.report.tables import paper_counting, probing, standard
from rsae.report.tables.claims import Cost, claims
from rsae.runtime import seals
from rsae.runtime.files import read_sealed, replacing
from rsae.sae.model import LINEAR

Cell = tuple[str, str, str, int]  # host, teacher, arm, seed
SHOWN = [m for m in DOWNSTREAM if m not in ("ce_zero", "ce_mean")]


def run(
    sums: Mapping[tuple[str, str], Mapping[str, Path]],
    saes: Mapping[Cell, tuple[Path, Path | None]],
    out: Path,
    *,
    suite: str,
    seeds: Mapping[str, int],
    not_run: Mapping[str, str],
) -> None:
    """``saes`` maps (host, teacher, arm, seed) to the SAE's folder and its training report.

    ``not_run`` maps HOST/TEACHER to the reason, which every table repeats.
    """
    pairs = [
        cells.read_pair(h, t, files["reconstruction"], files["downstream"], seeds[f"{h}/{t}"])
        for (h, t), files in sums.items()
    ]
    for pair in pairs:
        fairness.check(pair, _tokens(saes, pair))
    frame = cells.frame(suite, pairs)
    compared = [c for pair in pairs for c in cells.comparisons(pair)]
    probed: list[cells.Comparison] = []
    for pair, files in zip(pairs, sums.values(), strict=True):
        if "probe" in files:
            whole = probing.joined(pair, probing.read(pair, files["probe"]))
            probed += cells.comparisons(whole, metrics=probing.OVERALL)
    cost = _costs(saes)
    texts = {
        "reconstruction.md": standard.measured("Reconstruction", pairs, list(RECONSTRUCTION), cost),
        "downstream.md": standard.measured("Downstream", pairs, SHOWN, cost),
        "win_loss.md": standard.win_loss(compared),
        "strict.md": standard.strict(compared) + "\n" + paper_counting.table(compared),
        "claims.md": claims(compared + probed, cost),
    }
    absent = standard.not_run(not_run)
    with replacing(out / "cells.csv") as temporary:
        frame.to_csv(temporary, index=False, float_format="%.9g")
    for name, text in texts.items():
        with replacing(out / name) as temporary:
            temporary.write_text(text + absent, encoding="utf-8")
    seals.record([out / name for name in ("cells.csv", *texts)])


def _tokens(saes: Mapping[Cell, tuple[Path, Path | None]], pair: cells.Pair) -> dict[str, set[int]]:
    """What the fine-tunes of each arm of a pair have seen."""
    found: dict[str, set[int]] = {}
    for (h, t, a, _), (_, report) in saes.items():
        if (h, t) == (pair.host, pair.teacher) and report is not None:
            found.setdefault(a, set()).add(read_sealed(report)["tokens_trained"])
    return found


def _costs(saes: Mapping[Cell, tuple[Path, Path | None]]) -> dict[tuple[str, str, str], Cost]:
    seconds: dict[tuple[str, str, str], list[float]] = {}
    parameters: dict[tuple[str, str, str], int] = {}
    for (h, t, a, _), (folder, report) in saes.items():
        parameters[h, t, a] = _gate_parameters(folder)
        if report is not None:
            seconds.setdefault((h, t, a), []).append(read_sealed(report)["seconds"])
    return {
        (h, t, a): Cost(
            parameters[h, t, a] - parameters[h, t, "teacher"],
            float(np.mean(seconds[h, t, a])) if (h, t, a) in seconds else None,
        )
        for h, t, a in parameters
    }


def _gate_parameters(folder: Path) -> int:
    """Numbers of a saved SAE that are not its linear weights; read from the file's header alone."""
    with safe_open(folder / "sae_weights.safetensors", "np") as file:
        return sum(int(np.prod(file.get_slice(k).get_shape())) for k in file.keys() if k not in LINEAR)  # noqa: SIM118
