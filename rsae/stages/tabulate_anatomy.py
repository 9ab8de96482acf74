"""Anatomy of all pairs of a suite: ``anatomy.csv``, ``anatomy.md`` and a figure of L0 against eps."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from rsae import parquet
from rsae.files import replacing
from rsae.report import figures
from rsae.report.frames import markdown

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


def run(files: Mapping[tuple[str, str], Path], out: Path) -> None:
    """``files`` maps (host, teacher) to what :mod:`rsae.stages.anatomy` wrote."""
    frames = [
        parquet.read(path)[0].to_pandas().assign(host=host, teacher=teacher) for (host, teacher), path in files.items()
    ]
    rows = pd.concat(frames)[["host", "teacher", "arm", "seed", "quantity", "at", "value"]]
    mean = rows.groupby(["host", "teacher", "arm", "quantity", "at"], sort=False)["value"].mean()
    with replacing(out / "anatomy.csv") as temporary:
        rows.to_csv(temporary, index=False, float_format="%.9g")
    with replacing(out / "anatomy.md") as temporary:
        temporary.write_text(f"{TEXT}\n{_table(mean)}\n")
    with figures.panels(out, "l0_by_eps", len(files)) as axes:
        for axis, (host, teacher) in zip(axes, files, strict=True):
            of_pair = mean[host, teacher]
            for arm in of_pair.index.unique("arm"):
                curve = of_pair[arm, "l0_by_eps"]
                axis.plot(curve.index, curve.values, linewidth=1, label=arm)
            axis.set(
                title=f"{host}/{teacher}",
                xlabel="eps, activation units",
                ylabel="l0, raw codes",
                xscale="log",
                yscale="log",
            )
        axes[0].legend(fontsize=6)


def _table(mean: pd.Series) -> str:
    body = []
    for key, values in mean.groupby(["host", "teacher", "arm"], sort=False):
        found = {(q, round(float(at), 12)): v for (*_, q, at), v in values.items()}
        curve = {at: v for (q, at), v in found.items() if q == "l0_by_eps"}
        row = [*key, *(f"{curve[min(curve, key=lambda e, s=s: abs(e - s))]:.4g}" for s in SHOWN)]
        row += [f"{found['dead', 0.0]:.3f}", f"{found['dense', 0.1]:.4f}"]
        for name in SPREAD:
            row.append(", ".join(f"{v:.3g}" for (q, _), v in found.items() if q == name))
        row.append(f"{found['clipped', 0.0]:.3f}" if ("clipped", 0.0) in found else "")
        body.append(row)
    headers = ["host", "teacher", "arm", *(f"l0 at {s:g}" for s in SHOWN), "dead", "dense", "density", "norm ratio",
               "cosine", "correlation", "set to 0"]  # fmt: skip
    return markdown(body, headers)
