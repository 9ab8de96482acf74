"""The long table: one row per number."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from rsae.evaluate import per_document
from rsae.report.stats.bootstrap import interval, normal_p, resamples
from rsae.report.stats.metrics import COMPARED, KNOWN, METRICS, counted

COLUMNS = (
    "suite", "host", "teacher", "arm", "seed", "support", "metric", "value", "unit",
    "ci_low", "ci_high", "n_tok", "metric_version",
)  # fmt: skip


ROUNDING = 1e-9  # relative size below which a difference is arithmetic


class Pair(NamedTuple):
    """Everything that was measured of one (host, teacher)."""

    host: str
    teacher: str
    cells: dict[per_document.Cell, dict[str, np.ndarray]]
    seed: int  # of the bootstrap

    @property
    def n_doc(self) -> int:
        """Test documents."""
        return len(next(iter(self.cells.values()))["n_tok"])

    def weights(self) -> np.ndarray:
        """The value itself first, then the resamples; [1 + draws, n_doc]."""
        return np.vstack([np.ones(self.n_doc), resamples(self.n_doc, self.seed)])

    def averaged(self, arm: str, support: str, metric: str, weights: np.ndarray) -> np.ndarray:
        """Mean over an arm's seeds, then its resamples: documents by ``weights``, seeds anew in each; [1 + draws].

        Arms with equally many seeds draw the same ones, as their seeds share batches: the
        difference of two arms is a paired one in documents and seeds alike.
        """
        by_seed = [
            KNOWN[metric].value(c, weights) for k, c in self.cells.items() if (k.arm, k.support) == (arm, support)
        ]
        n = len(by_seed)
        picked = np.vstack([np.ones(n), resamples(n, self.seed + 1, len(weights) - 1)]) / n
        return (picked * np.transpose(by_seed)).sum(1)


def read_pair(host: str, teacher: str, reconstruction: Path, downstream: Path, seed: int) -> Pair:
    """Join the two judgements of a pair.

    Raises:
        ValueError: they do not cover the same cells, or documents.
    """
    left, right = per_document.read(reconstruction), per_document.read(downstream)
    if set(left) != set(right):
        odd = sorted(set(left) ^ set(right))
        raise ValueError(f"{reconstruction} and {downstream} disagree on {odd}; delete both and run again")
    if len({len(c["n_tok"]) for c in left.values()} | {len(c["n_pred"]) for c in right.values()}) != 1:
        raise ValueError(f"{reconstruction} and {downstream} were made from other documents; delete both")
    return Pair(host, teacher, {cell: left[cell] | right[cell] for cell in left}, seed)


def rows(suite: str, pair: Pair, metrics: Sequence[str] = tuple(METRICS)) -> Iterator[dict[str, object]]:
    """All rows of a pair.

    Raises:
        ValueError: a value is not finite; the message names the cell.
    """
    weights = pair.weights()
    for cell, columns in pair.cells.items():
        for name in metrics:
            metric = KNOWN[name]
            values = metric.value(columns, weights)
            if not np.isfinite(values).all():
                raise ValueError(f"{name} of {pair.host}/{pair.teacher}/{cell} is not finite; nothing is tabled")
            low, high = interval(values[0], values[1:], metric.within)
            n_tok = columns[counted(name)].sum()
            yield dict(
                zip(
                    COLUMNS,
                    (suite, pair.host, pair.teacher, *cell, name, float(values[0]), metric.unit, low, high,
                     int(n_tok), metric.version),
                    strict=True,
                )
            )  # fmt: skip


class Comparison(NamedTuple):
    """Arm minus baseline, both averaged over seeds, on the same documents and batches."""

    host: str
    teacher: str
    arm: str
    baseline: str
    support: str
    metric: str
    difference: float
    ci_low: float
    ci_high: float
    verdict: str  # win, tie, loss
    l0_exceeded: bool  # the arm's mean L0 on these codes is above the teacher's (interval excludes 0)
    denser_than_baseline: bool  # likewise, above the baseline's
    reference: float  # the baseline's value
    p: float  # two-sided, from the bootstrap's standard error


def comparisons(
    pair: Pair, baselines: tuple[str, ...] = ("teacher", "teacher_ft"), metrics: Sequence[str] = COMPARED
) -> Iterator[Comparison]:
    """Every arm against each baseline on what the paper counts; win or loss when 0 is excluded.

    Of documents on which no l0 was counted, as those of a labelled text, no arm is called denser.
    """
    counts = {"l0"} if all("active" in columns for columns in pair.cells.values()) else set()
    weights = pair.weights()
    arms = list(dict.fromkeys(c.arm for c in pair.cells))

    for support in ("raw", "hard"):
        values = {(a, m): pair.averaged(a, support, m, weights) for a in arms for m in {*metrics} | counts}
        for baseline in baselines:
            for arm in arms:
                if arm in ("teacher", baseline) or baseline not in arms:
                    continue
                denser = {b: bool(counts) and _above(values[arm, "l0"], values[b, "l0"]) for b in {"teacher", baseline}}
                for metric in metrics:
                    reference = values[baseline, metric]
                    difference = values[arm, metric] - reference
                    low, high = interval(difference[0], difference[1:])
                    verdict = "tie"
                    # TopK's L0 is k in every arm; the last bit of a sum is no difference
                    rounding = ROUNDING * abs(reference[0])
                    if low > rounding or high < -rounding:
                        verdict = "win" if np.sign(low) == KNOWN[metric].better else "loss"
                    p = normal_p(difference[0], difference[1:].std()) if abs(difference[0]) > rounding else 1.0
                    yield Comparison(
                        pair.host, pair.teacher, arm, baseline, support, metric,
                        float(difference[0]), low, high, verdict, denser["teacher"], denser[baseline],
                        float(reference[0]), p,
                    )  # fmt: skip


def _above(values: np.ndarray, reference: np.ndarray) -> bool:
    difference = values - reference
    return bool(interval(difference[0], difference[1:])[0] > ROUNDING * reference[0])


def frame(suite: str, pairs: list[Pair], metrics: Sequence[str] = tuple(METRICS)) -> pd.DataFrame:
    """``cells.csv`` as a data frame."""
    return pd.DataFrame([r for pair in pairs for r in rows(suite, pair, metrics)], columns=list(COLUMNS))
