"""The contestants on held-out documents: sums, table, and a verdict in words."""

from collections.abc import Mapping, Sequence

import numpy as np
from tabulate import tabulate
from torch import Tensor

from rsae.api.given import CHUNK, Split
from rsae.evaluate import sums
from rsae.evaluate.reconstruction import reconstruction_sums
from rsae.report import cells
from rsae.report.bootstrap import interval
from rsae.report.cells import Pair
from rsae.sae import SAE


def columns(sae: SAE, split: Split, mean: Tensor) -> dict[str, dict[str, np.ndarray]]:
    """Per-document sums of ``raw`` and ``hard`` codes, as metrics read them."""
    n_doc = int(split.document.max()) + 1
    starts = range(0, len(split.x), CHUNK)
    pieces = ((split.document[i : i + CHUNK], split.x[i : i + CHUNK]) for i in starts)
    widths = {"d_in": np.full(n_doc, sae.d_in), "d_sae": np.full(n_doc, sae.d_sae)}
    return {
        support: {**found._asdict(), **widths, "fired": found.fired.astype(np.uint8)}
        for support, found in reconstruction_sums(sae, pieces, mean, n_doc).items()
    }


def judged(contestants: Mapping[str, SAE], test: Split, mean: Tensor) -> dict[sums.Cell, dict[str, np.ndarray]]:
    """Sums of every contestant on both kinds of codes."""
    return {
        sums.Cell(name, 0, support): found
        for name, sae in contestants.items()
        for support, found in columns(sae, test, mean).items()
    }


def table(pair: Pair, order: Sequence[str]) -> str:
    """One row per arm and kind of codes."""
    shown, weights = ("mse_sum", "fvu", "l0", "alive"), pair.weights()
    rows = []
    for arm in order:
        for support in ("raw", "hard"):
            row = [arm, support]
            for metric in shown:
                values = pair.averaged(arm, support, metric, weights)
                low, high = interval(values[0], values[1:])
                row.append(f"{values[0]:.4g} [{low:.4g}, {high:.4g}]")
            rows.append(row)
    n_tok = int(next(iter(pair.cells.values()))["n_tok"].sum())
    return (
        tabulate(rows, ["arm", "codes", *shown], tablefmt="github", disable_numparse=True)
        + f"\n\n{n_tok} activations of {pair.n_doc} held-out documents; brackets: 95% interval over documents."
    )


def verdict(pair: Pair, arm: str) -> tuple[bool, str]:
    """Whether the arm helped, and in words why.

    It did where its mse wins against the teacher and against the control, and it is not denser than the teacher.
    """
    found = {c.baseline: c for c in cells.comparisons(pair, metrics=["mse_sum"]) if (c.arm, c.support) == (arm, "hard")}
    parts = [
        f"{c.verdict} against {name}: mse {c.reference:.4g} to {c.reference + c.difference:.4g}, difference within"
        f" [{c.ci_low:.3g}, {c.ci_high:.3g}]" + (f" ({c.difference / c.reference:+.1%})" if c.reference else "")
        for name, c in found.items()
    ]
    denser = found["teacher"].l0_exceeded
    helped = all(c.verdict == "win" for c in found.values()) and not denser
    text = f"On hard codes, {arm}: " + "; ".join(parts) + "."
    if denser:
        text += " Its l0 is above the teacher's, so no win counts."
    if not helped:
        return False, f"The upgrade did NOT help: keep the teacher. {text}"
    if "teacher_ft" not in found:
        return True, f"Better than the teacher; the control was not run (steps=0), which may be as good. {text}"
    return True, f"The upgrade helped. {text}"
