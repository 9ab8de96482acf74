"""The contestants on held-out documents: sums, table, and a verdict in words."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tabulate import tabulate

from rsae.api.inputs import CHUNK, Given, Split
from rsae.evaluate import per_document, reconstruction
from rsae.report.stats import cells
from rsae.report.stats.bootstrap import interval
from rsae.report.stats.cells import Pair
from rsae.report.stats.metrics import METRICS, RECONSTRUCTION
from rsae.report.stats.verdicts import Verdict, verdicts
from rsae.sae.model import SAE

SHOWN = ("mse_sum", "fvu", "l0", "alive", "delta_ce")
ENOUGH = 10  # documents: a percentile interval over fewer is too narrow to judge by
THROUGH_HOST = ("ce_clean", "ce_spliced", "delta_ce", "kl")


def judged(contestants: Mapping[str, SAE], test: Split, given: Given) -> dict[per_document.Cell, dict[str, np.ndarray]]:
    """Sums of every contestant on both kinds of codes; with the losses of the host where there is one."""
    mean, found = test.x.double().mean(0), {}
    for name, sae in contestants.items():
        pieces = zip(np.split(test.document, range(CHUNK, len(test.x), CHUNK)), test.chunks, strict=True)
        for support, columns in reconstruction.columns(sae, pieces, mean, len(test.members)).items():
            # one byte per feature, as metrics read them
            found[per_document.Cell(name, 0, support)] = columns | {"fired": columns["fired"].astype(np.uint8)}
    for cell, losses in _losses(contestants, test, given).items():
        found[cell] |= losses
    return found


def _losses(
    contestants: Mapping[str, SAE], test: Split, given: Given
) -> dict[per_document.Cell, dict[str, np.ndarray]]:
    if given.host is None or given.rows is None:
        return {}
    from rsae.evaluate import downstream  # loads transformers

    number = {int(member): i for i, member in enumerate(test.members)}
    rows = [r._replace(document=number[r.document]) for r in given.rows.rows if r.document in number]
    at = given.host.device
    ways = [downstream.replacement(name, 0, copy.deepcopy(sae).to(at)) for name, sae in contestants.items()]
    result = downstream.downstream_sums(given.host, given.rows._replace(rows=rows), len(number), ways)
    return downstream.columns(result, [(name, 0) for name in contestants])


def metrics(pair: Pair) -> list[str]:
    """Those that were measured: losses only where the activations came through a host."""
    through_host = "n_pred" in next(iter(pair.cells.values()))
    return [*RECONSTRUCTION, *(THROUGH_HOST if through_host else ())]


def table(pair: Pair, order: Sequence[str]) -> str:
    """One row per arm and kind of codes."""
    shown, weights = [m for m in SHOWN if m in metrics(pair)], pair.weights()
    rows = []
    for arm in order:
        for support in ("raw", "hard"):
            row = [arm, support]
            for metric in shown:
                values = pair.averaged(arm, support, metric, weights)
                low, high = interval(values[0], values[1:], METRICS[metric].within)
                row.append(f"{values[0]:.4g} [{low:.4g}, {high:.4g}]")
            rows.append(row)
    n_tok = int(next(iter(pair.cells.values()))["n_tok"].sum())
    return (
        tabulate(rows, ["arm", "codes", *shown], tablefmt="github", disable_numparse=True)
        + f"\n\n{n_tok} activations of {pair.n_doc} held-out documents; brackets: 95% interval over documents."
        + ("" if "delta_ce" in shown else " No host, so no loss was measured.")
    )


def verdict(pair: Pair, arm: str) -> tuple[bool, str]:
    """Whether the arm helped, and in words why, by the suites' strict rule (see :mod:`rsae.report.stats.verdicts`).

    It did where its mse wins against the teacher and is below the control's, its delta CE, if measured, loses
    against neither, and it is not denser than the teacher.
    """
    if pair.n_doc < ENOUGH:
        return False, (
            f"No verdict: {pair.n_doc} held-out documents are fewer than the {ENOUGH} that an interval over documents"
            " needs; give more text, or shorter documents."
        )
    asked = [m for m in ("mse_sum", "delta_ce") if m in metrics(pair)]
    compared = cells.comparisons(pair, metrics=asked)
    found = verdicts([c for c in compared if (c.arm, c.support) == (arm, "hard")])
    helped = all(_good(v) for v in found)
    text = f"On hard codes, {arm}: " + "; ".join(map(_said, found)) + "."
    if any(v.comparison.l0_exceeded for v in found):
        text += " Its l0 is above the teacher's, so no win counts."
    if not all(np.isfinite(v.comparison.ci_low) and np.isfinite(v.comparison.ci_high) for v in found):
        return False, f"No verdict: an interval holds no number. {text}"
    if not any(v.comparison.baseline == "teacher_ft" for v in found):
        return False, (
            f"No verdict: nothing was trained (steps is 0), so there is no control, and the teacher trained further may"
            f" be as good. {text}"
        )
    if not helped:
        return False, f"The upgrade did NOT help: keep the teacher. {text}"
    return True, f"The upgrade helped. {text}"


def _good(v: Verdict) -> bool:
    if v.comparison.l0_exceeded:
        return False
    if v.comparison.metric != "mse_sum":
        return v.word != "loss"
    # a control that lost features on its way may be sparser than the teacher: the teacher's l0 is the measure
    return v.word == "win" or (v.word == "paid" and v.comparison.baseline == "teacher_ft")


def _said(v: Verdict) -> str:
    c = v.comparison
    name = "mse" if c.metric == "mse_sum" else c.metric
    share = f" ({c.difference / c.reference:+.1%})" if c.reference else ""
    price = ", with more active features than it" if v.word == "paid" else ""
    return (
        f"{v.word} against {c.baseline}{price}: {name} {c.reference:.4g} to {c.reference + c.difference:.4g},"
        f" difference within [{c.ci_low:.3g}, {c.ci_high:.3g}]{share}"
    )


def written(pair: Pair) -> Any:
    """Rows of ``cells.csv``."""
    return cells.frame("upgrade", [pair], [m for m in METRICS if m in metrics(pair)])
