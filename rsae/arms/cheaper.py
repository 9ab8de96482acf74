"""Ours: cheaper or finer kin of the resolvent, all untrained, for the search in docs/lab-book.md."""

from functools import partial
from typing import Any

from rsae.arms import Arm, Inputs

RHOS = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0]
CLUSTERS = 4  # of equally many features, by how often they fire


def descended(n: int, sae: Any, inputs: Inputs) -> Any:
    """The teacher's codes as the start of n steps of steepest descent on the support, each of the best length."""
    from rsae.upgrade.refined import with_steps

    return with_steps(sae, n, exact=True), {}


def clustered(sae: Any, inputs: Inputs) -> Any:
    """A resolvent with one rho per cluster of features, chosen on calibration documents."""
    from rsae.upgrade.clustered import best_rhos

    return best_rhos(sae, inputs.calibration, RHOS, CLUSTERS)


ARMS = [
    *(Arm(f"descent_{n}", build=partial(descended, n)) for n in (1, 2, 3, 5)),
    Arm("resolvent_clustered", build=clustered),
]
