"""Contestants side by side: alternating in one process, medians, ratios round by round."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

ROUNDS = 5  # after one that warms up


class Goal(NamedTuple):
    """A ratio that must be reached."""

    bound: float
    at_least: bool  # of times faster; else at most, of times slower

    def reached(self, ratio: float) -> bool:
        """Whether ``ratio`` does."""
        return ratio >= self.bound if self.at_least else ratio <= self.bound


def alternate(contestants: Mapping[str, Callable[[], Any]], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Seconds of each contestant in each round; every other round runs them in the opposite order."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for i in range(rounds + 1):
        for name, run in list(contestants.items())[:: 1 if i % 2 else -1]:
            gc.collect()
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: values[1:] for name, values in seconds.items()}


def row(
    what: str,
    seconds: Mapping[str, list[float]],
    ours: str,
    against: str,
    goal: Goal | None = None,
    faster: bool = False,
) -> dict:
    """One line of the table. The ratio is the median of the rounds' ratios, so that a slow minute hits both alike.

    It says how many times longer ``ours`` takes; how many times *faster* it is where that is asked, or the goal.
    """
    ratios = [a / b for a, b in zip(seconds[ours], seconds[against], strict=True)]
    if faster or (goal is not None and goal.at_least):
        ratios = [1 / r for r in ratios]
    ratio = statistics.median(ratios)
    found = {
        "what": what,
        "ours": ours,
        "against": against,
        "ours_s": statistics.median(seconds[ours]),
        "against_s": statistics.median(seconds[against]),
        "ratio": ratio,
        "lowest": min(ratios),
        "highest": max(ratios),
        "rounds": len(ratios),
    }
    if goal is not None:
        found |= {"must": f"{'>=' if goal.at_least else '<='} {goal.bound:g}", "reached": goal.reached(ratio)}
    return found
