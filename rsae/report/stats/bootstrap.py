"""95% intervals by resampling test documents and seeds, the same resamples for everything of one pair."""

import math

import numpy as np
from jaxtyping import Float

DRAWS = 2000
LEVEL = 0.95


def resamples(n: int, seed: int, draws: int = DRAWS) -> Float[np.ndarray, "draws n"]:
    """How often each of ``n`` documents (or seeds) is drawn, per resample of as many with replacement."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n, np.full(n, 1 / n), size=draws).astype(float)


def interval(
    estimate: float, drawn: Float[np.ndarray, " draws"], within: tuple[float, float] = (-math.inf, math.inf)
) -> tuple[float, float]:
    """Percentile interval, re-centred on the estimate.

    A resample holds fewer distinct documents, so a union such as ``alive`` is too small in all
    of them; the spread is right, the location is not. Ratios of sums are hardly moved. The
    interval always holds the estimate, also where nearly all draws are alike, and stays ``within`` what its metric can
    be.
    """
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) - drawn.mean()
    return max(within[0], float(estimate + min(low, 0.0))), min(within[1], float(estimate + max(high, 0.0)))


def normal_p(difference: float, spread: float) -> float:
    """Two-sided p of ``difference`` if it were normal around 0 with standard error ``spread``."""
    if spread == 0:
        return 1.0 if difference == 0 else 0.0
    return math.erfc(abs(difference) / spread / math.sqrt(2))
