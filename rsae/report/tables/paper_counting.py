"""The paper's counting beside the strict one, for the same runs.

The paper reports "22 of 24 reconstruction cells and 13 of 16 downstream cells": a cell is a metric of
a pair, won if the tuned copy's number is better than the untuned teacher's, by however little.
"""

from collections.abc import Sequence

from tabulate import tabulate

from rsae.report.stats.cells import Comparison
from rsae.report.stats.metrics import METRICS
from rsae.report.stats.verdicts import verdicts

BLOCKS = {"reconstruction": ("mse_sum", "l0", "alive"), "downstream": ("delta_ce", "loss_recovered_zero")}
TEXT = """\
## Counted as the paper counts

Cells (a metric of a pair) in which an arm's mean over seeds is better than the baseline's, by however little;
in brackets those that are a win by the rule above. The paper's own count, 22 of 24 and 13 of 16, is its tuned
copy's against the untuned teacher; how it counted l0 and alive is not known, so both codes are shown.
"""


def better(c: Comparison) -> bool:
    """Whether the arm's number is the better one."""
    return c.difference * METRICS[c.metric].better > 0


def table(comparisons: Sequence[Comparison]) -> str:
    """One row per (arm, codes, baseline); strict wins after Holm over that baseline and kind of codes."""
    body = []
    for support in ("raw", "hard"):
        for baseline in dict.fromkeys(c.baseline for c in comparisons):
            family = [c for c in comparisons if (c.support, c.baseline) == (support, baseline)]
            strict = {id(v.comparison) for v in verdicts(family) if v.word == "win"}
            for arm in dict.fromkeys(c.arm for c in family):
                row = [arm, support, baseline]
                for metrics in BLOCKS.values():
                    cells = [c for c in family if c.arm == arm and c.metric in metrics]
                    row.append(f"{sum(map(better, cells))} of {len(cells)} ({sum(id(c) in strict for c in cells)})")
                body.append(row)
    headers = ["arm", "codes", "against", *BLOCKS]
    return f"{TEXT}\n{tabulate(body, headers, tablefmt='github', disable_numparse=True)}\n"
