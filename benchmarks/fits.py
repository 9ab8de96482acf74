"""Seconds per minimax fit on one core: ``python -m benchmarks.fits``.

The 100 jumps whose convergence is counted, and every type of the ReLU up to (12, 12). The speeds that
were asked for: 0.5 s where a fit converges at once, 2 s with fallbacks. Writes one JSON.
"""

import datetime
import json
import os
import platform
import time
from itertools import product
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy loads its BLAS

import numpy as np

from rsae.plan.studies import GRID, GRID_DEGREES
from rsae.rational import targets
from rsae.rational.minimax import MAX_DEGREE, Fit, minimax

KEPT = Path(__file__).parent / "results" / "fits.json"
LIMIT, LIMIT_WITH_FALLBACK = 0.5, 2.0  # seconds


def measure(cases: list[tuple[targets.Target, int, int]]) -> dict[str, float]:
    """Fit each case once; counts and seconds."""
    fits: list[tuple[Fit, float]] = []
    for target, p, q in cases:
        start = time.perf_counter()
        fit = minimax(target, p, q)
        fits.append((fit, time.perf_counter() - start))
    direct = [s for fit, s in fits if fit.converged and fit.reason.startswith("exchange from")]
    others = [s for fit, s in fits if not (fit.converged and fit.reason.startswith("exchange from"))]
    return {
        "fits": len(fits),
        "converged": sum(fit.converged for fit, _ in fits),
        "converged_at_once": len(direct),
        "median_s": round(float(np.median([s for _, s in fits])), 4),
        "slowest_at_once_s": round(max(direct), 4),
        "slowest_with_fallback_s": round(max(others, default=0.0), 4),
    }


def main() -> None:
    """Measure and write."""
    jumps = [
        (targets.jumprelu(theta, delta), p, q)
        for theta, delta, (p, q) in product(GRID["theta"], GRID["delta"], GRID_DEGREES)
    ]
    types = [(targets.relu(), p, q) for p in range(1, MAX_DEGREE + 1) for q in range(MAX_DEGREE + 1)]
    minimax(*jumps[0])  # the first call pays for imports
    found = {
        "jumps": measure(jumps),
        "relu_all_types": measure(types),
        "asked": {"at_once_s": LIMIT, "with_fallback_s": LIMIT_WITH_FALLBACK},
        "date": datetime.date.today().isoformat(),
        "machine": platform.platform(terse=True),
    }
    KEPT.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
