"""What holds beyond one teacher: documents, seeds and teachers resampled together.

A family is several SAEs of one recipe that were trained independently. A fine-tune's seeds say nothing
about another training of the teacher, so the teachers of a family are drawn anew in each resample, within each
teacher its seeds; all are judged on the same documents, which are drawn once per resample.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from tabulate import tabulate

from rsae.report.stats.bootstrap import interval, normal_p, resamples
from rsae.report.stats.cells import Pair
from rsae.report.stats.metrics import KNOWN
from rsae.report.stats.verdicts import RELATIVE, SIGNIFICANCE, holm

METRICS = ("mse_sum", "delta_ce", "l0")
SUPPORT = "hard"
TEXT = """\
# Families of teachers

Hard codes. Change in percent of the baseline's value, averaged over the teachers of a family, which were trained
independently; a resample draws teachers, within each its seeds, and test documents. `teachers` lists each one's own
change. The interval tells what these teachers leave open, not what a hundred would: the variance between n teachers is
understated by the factor (n - 1)/n. A win or a loss is significant at 5% after Holm's adjustment over the table
and at least as large as the minimum effect; `paid` is a win with more active features.
"""


class Change(NamedTuple):
    """An arm against a baseline over a family, in units of the baseline's value."""

    family: str
    arm: str
    baseline: str
    metric: str
    each: dict[str, float]  # by teacher
    mean: float
    ci_low: float
    ci_high: float
    p: float  # adjusted
    verdict: str


def nested(
    family: Sequence[Pair], arm: str, baseline: str, metric: str, seed: int
) -> tuple[Float[np.ndarray, " n_teacher"], Float[np.ndarray, " draws"]]:
    """(each teacher's relative change, resamples of their mean)."""
    weights = family[0].weights()
    draws = len(weights) - 1
    changes = np.stack([_change(pair, arm, baseline, metric, weights, number) for number, pair in enumerate(family)])
    picked = resamples(len(family), seed, draws).T / len(family)
    return changes[:, 0], (picked * changes[:, 1:]).sum(0)


def _change(
    pair: Pair, arm: str, baseline: str, metric: str, weights: Float[np.ndarray, "draws n_doc"], number: int
) -> Float[np.ndarray, " draws"]:
    # other seeds in another teacher, the same for its arms
    own = pair._replace(seed=pair.seed + 2 + number)
    reference = own.averaged(baseline, SUPPORT, metric, weights)
    return (own.averaged(arm, SUPPORT, metric, weights) - reference) / reference


def changes(families: Mapping[str, Sequence[Pair]], baselines: Sequence[str]) -> list[Change]:
    """Every arm that all teachers of a family have, against each baseline.

    Raises:
        ValueError: the teachers of a family were judged on other documents, which cannot be drawn for all at once.
    """
    found: list[Change] = []
    for name, family in families.items():
        for other in family[1:]:
            if not np.array_equal(_documents(other), _documents(family[0])):
                raise ValueError(f"family {name!r}: {family[0].teacher} and {other.teacher} saw other test documents")
        shared = [a for a in dict.fromkeys(c.arm for c in family[0].cells) if all(_has(p, a) for p in family)]
        for baseline in (b for b in baselines if b in shared):
            for arm in (a for a in shared if a not in ("teacher", baseline)):
                for metric in METRICS:
                    each, drawn = nested(family, arm, baseline, metric, family[0].seed + 1)
                    mean = float(each.mean())
                    low, high = interval(mean, drawn)
                    by_teacher = {pair.teacher: float(v) for pair, v in zip(family, each, strict=True)}
                    p = normal_p(mean, float(drawn.std()))
                    found.append(Change(name, arm, baseline, metric, by_teacher, mean, low, high, p, ""))
    adjusted = [c._replace(p=p) for c, p in zip(found, holm([c.p for c in found]), strict=True)]
    denser = {(c.family, c.arm, c.baseline): c.ci_low > 0 for c in adjusted if c.metric == "l0"}
    return [c._replace(verdict=_word(c, denser[c.family, c.arm, c.baseline])) for c in adjusted]


def _documents(pair: Pair) -> Float[np.ndarray, " n_doc"]:
    return next(iter(pair.cells.values()))["n_tok"]


def _has(pair: Pair, arm: str) -> bool:
    return any(cell.arm == arm for cell in pair.cells)


def _word(c: Change, denser: bool) -> str:
    if not c.p <= SIGNIFICANCE or abs(c.mean) < RELATIVE[c.metric]:
        return "tie"
    if np.sign(c.mean) != KNOWN[c.metric].better:
        return "loss"
    return "paid" if denser and c.metric != "l0" else "win"


def table(found: Sequence[Change]) -> str:
    """All changes, as a person reads them."""
    body = [
        [
            c.family, c.arm, c.baseline, c.metric, f"{100 * c.mean:+.1f}%",
            f"[{100 * c.ci_low:+.1f}%, {100 * c.ci_high:+.1f}%]",
            ", ".join(f"{t} {100 * v:+.1f}%" for t, v in c.each.items()), c.verdict,
        ]
        for c in found
    ]  # fmt: skip
    headers = ["family", "arm", "minus", "metric", "mean", "95% interval", "teachers", "verdict"]
    return f"{TEXT}\n{tabulate(body, headers, tablefmt='github', disable_numparse=True)}\n"
