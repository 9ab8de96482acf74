"""Fronts of error against l0: every point, arms at matched l0, figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from rsae.report.page import figures, style
from rsae.report.stats import cells
from rsae.report.stats.bootstrap import interval
from rsae.report.tables import pareto
from rsae.report.tables.writing import markdown
from rsae.runtime.files import replacing

TEXT = """\
# Error against sparsity

Hard codes, test documents, means over seeds. A front is one SAE at several sparsities, each of them a teacher
that was taken to that l0 and from which every arm then started. Dominated: another point of the same arm is no denser
and no worse.
"""
MATCHED = """\

## At the same l0

Every arm against `teacher_ft` at the l0 of each point of `teacher_ft`. The arm's value there is
interpolated between its own points, linearly in log l0. An end of its front that is at most 1% off, what counts as the
same l0 in every table, is taken as it is (its l0 is shown; where it is denser, a difference must be twice as large to
count); `outside`: its points do not reach so far, and nothing is
extrapolated. Brackets: 95% interval, bootstrap over test documents and seeds; a win or a loss is significant at
5% after Holm's adjustment over the front's table and at least 1% of mse and fvu, 2% of delta CE.
"""
POINT = ("front", "setting", "arm", "l0", *pareto.METRICS, "dominated")


def run(
    sums: Mapping[tuple[str, str], Mapping[str, Path]],
    out: Path,
    *,
    seeds: Mapping[str, int],
    fronts: Mapping[str, Sequence[str]],
) -> None:
    """``fronts`` maps HOST/FRONT to teachers: one SAE at several sparsities. Writes the files of ``PARETO``."""
    pairs = {
        (h, t): cells.read_pair(h, t, files["reconstruction"], files["downstream"], seeds[f"{h}/{t}"])
        for (h, t), files in sums.items()
    }
    found: dict[str, dict[str, pareto.Front]] = {}
    for name, teachers in fronts.items():
        members = [pairs[name.split("/")[0], t] for t in teachers]
        arms = dict.fromkeys(cell.arm for pair in members for cell in pair.cells)
        having = {a: [pair for pair in members if any(c.arm == a for c in pair.cells)] for a in arms}
        found[name] = {a: pareto.front(some, a) for a, some in having.items()}
    points = [point for name, arms in found.items() for a, front in arms.items() for point in _points(name, a, front)]
    compared = [
        row
        for name, arms in found.items()
        if pareto.CONTROL in arms
        for row in pareto.matched(
            name, arms[pareto.CONTROL], {a: f for a, f in arms.items() if a != pareto.CONTROL and len(f.settings) > 1}
        )
    ]
    for file, table in (("pareto.csv", pd.DataFrame(points)), ("matched.csv", pd.DataFrame(compared))):
        with replacing(out / file) as temporary:
            table.to_csv(temporary, index=False, float_format="%.9g")
    with replacing(out / "pareto.md") as temporary:
        temporary.write_text(
            f"{TEXT}\n{markdown([[p[c] for c in POINT] for p in points], POINT)}\n{MATCHED}\n{_compared(compared)}\n",
            encoding="utf-8",
        )
    for metric in pareto.METRICS:
        _figure(out, metric, found)


def _points(name: str, arm: str, front: pareto.Front) -> list[dict[str, object]]:
    rows = []
    dominated = pareto.dominated(front, "mse_sum")
    for i, setting in enumerate(front.settings):
        row: dict[str, object] = {"front": name, "setting": setting, "arm": arm, "dominated": dominated[i]}
        for metric, drawn in {"l0": front.l0, **front.value}.items():
            row[metric] = float(drawn[i, 0])
            row[f"{metric}_low"], row[f"{metric}_high"] = interval(drawn[i, 0], drawn[i, 1:])
        rows.append(row)
    return rows


def _compared(rows: Sequence[pareto.Matched]) -> str:
    header = (
        "front",
        "arm",
        "metric",
        "l0",
        "arm's l0",
        "teacher_ft",
        "arm's",
        "difference",
        "95% interval",
        "verdict",
    )
    return markdown(
        [
            [
                r.front, r.arm, r.metric, r.l0, r.arm_l0, r.control, r.value,
                "" if np.isnan(r.difference) else f"{100 * r.difference / r.control:+.1f}%",
                "" if np.isnan(r.difference) else
                f"[{100 * r.ci_low / r.control:+.1f}%, {100 * r.ci_high / r.control:+.1f}%]",
                r.verdict,
            ]
            for r in rows
        ],
        header,
    )  # fmt: skip


def _figure(out: Path, metric: str, found: Mapping[str, Mapping[str, pareto.Front]]) -> None:
    colour = figures.colours(list(dict.fromkeys(arm for arms in found.values() for arm in arms)))
    with style.panels(out, f"pareto_{metric}", len(found), 3.6, 3.4) as axes:
        for axis, (name, arms) in zip(axes, found.items(), strict=True):
            for arm, front in arms.items():
                ends = np.array([interval(v[0], v[1:]) for v in front.value[metric]])
                value = front.value[metric][:, 0]
                spread = np.abs(ends.T - value)
                axis.errorbar(
                    front.l0[:, 0], value, spread, marker="o", ms=3, lw=1, color=colour[arm], label=arm
                )  # fmt: skip
            axis.set(title=name.split("/")[-1], xlabel="l0, hard codes", ylabel=metric, xscale="log", ylim=(0, None))
            shown: list[int] = []
            for v in sorted({round(float(v)) for front in arms.values() for v in front.l0[:, 0]}):
                shown += [v] if not shown or v > 1.25 * shown[-1] else []
            axis.set_xticks(shown, [str(v) for v in shown])
            axis.minorticks_off()
        lines = {label: line for axis in axes for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
        axes[0].figure.legend([*lines.values()], [*lines], loc="outside right upper", fontsize=7)
