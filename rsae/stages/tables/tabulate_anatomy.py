"""Anatomy of all pairs of a suite: ``anatomy.csv``, ``anatomy.md`` and a figure of L0 against eps."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from rsae.report.page import style
from rsae.report.tables.writing import markdown
from rsae.runtime import parquet
from rsae.runtime.files import replacing

TEXT = """\
# Anatomy

On test documents, means over seeds; three numbers are the 5%, 50% and 95% quantiles over features. `density`: share of
tokens on which a feature that fires at all is in the declared support; `dead`: share of features that never fire;
`dense`: share that fires on more than a tenth of the tokens. `norm ratio` and `cosine`: decoder rows against the
teacher's. Of a refinement: `correlation` per feature of the codes that it returns with those that it was given, where
these are active, and the share of them that it sets to zero. L0 at eps: features per token of the raw codes that write
more than eps, in activation units.
"""
SHOWN = (0.001, 0.01, 0.1, 1.0)  # eps
SPREAD = ("density", "norm_ratio", "cosine", "correlation")


Numbers = dict[tuple[str, float], float]  # {(quantity, at): mean over seeds}


def run(files: Mapping[tuple[str, str], Path], out: Path) -> None:
    """``files`` maps (host, teacher) to what :mod:`rsae.stages.evaluation.anatomy` wrote."""
    rows = [
        {"host": host, "teacher": teacher, **row}
        for (host, teacher), path in files.items()
        for row in parquet.read(path)[0].to_pylist()
    ]
    gathered: dict[tuple[str, str, str], dict[tuple[str, float], list[float]]] = {}
    for row in rows:
        of_arm = gathered.setdefault((row["host"], row["teacher"], row["arm"]), {})
        of_arm.setdefault((row["quantity"], row["at"]), []).append(row["value"])
    means = {key: {what: float(np.mean(v)) for what, v in found.items()} for key, found in gathered.items()}
    with replacing(out / "anatomy.csv") as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False, float_format="%.9g")
    with replacing(out / "anatomy.md") as temporary:
        temporary.write_text(f"{TEXT}\n{_table(means)}\n", encoding="utf-8")
    with style.panels(out, "l0_by_eps", len(files)) as axes:
        for axis, pair in zip(axes, files, strict=True):
            for key, found in means.items():
                if key[:2] == pair:
                    curve = _curve(found)
                    axis.plot(list(curve), list(curve.values()), linewidth=1, label=key[2])
            axis.set(title="/".join(pair), xlabel="eps, activation units", ylabel="l0, raw codes")
            axis.set(xscale="log", yscale="log")
        axes[0].legend(fontsize=6)


def _curve(found: Numbers) -> dict[float, float]:
    return {at: v for (quantity, at), v in found.items() if quantity == "l0_by_eps"}


def _table(means: Mapping[tuple[str, str, str], Numbers]) -> str:
    body = []
    for key, found in means.items():
        curve, single = _curve(found), {quantity: v for (quantity, _), v in found.items()}
        row = [*key, *(f"{curve[min(curve, key=lambda eps, s=s: abs(eps - s))]:.4g}" for s in SHOWN)]
        row += [f"{single['dead']:.3f}", f"{single['dense']:.4f}"]
        row += [", ".join(f"{v:.3g}" for (quantity, _), v in found.items() if quantity == name) for name in SPREAD]
        body.append([*row, f"{single['clipped']:.3f}" if "clipped" in single else ""])
    headers = ["host", "teacher", "arm", *(f"l0 at {s:g}" for s in SHOWN), "dead", "dense", "density", "norm ratio",
               "cosine", "correlation", "set to 0"]  # fmt: skip
    return markdown(body, headers)
