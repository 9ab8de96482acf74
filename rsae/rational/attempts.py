"""The fallback chain of a fit: what is tried when the first exchange does not converge, and in which order."""

from collections.abc import Iterator

import numpy as np

from rsae.rational.exchange import Exchanged, assess, exchange, highest, on_continuum
from rsae.rational.from_sign import rebuilt, rebuilt_type
from rsae.rational.starts import placed, shares, starts
from rsae.rational.targets import Target

DELTA_STEP = 0.6  # ratio of gaps along the homotopy in delta
WIDEST = 0.3  # share of the shorter side at which that homotopy begins
MAX_SIGN = 12  # degree of the largest sign that a gate of degree 12 is rebuilt from


class Attempts:
    """Exchanges for one target."""

    def __init__(self, target: Target) -> None:
        self.target, self.n_iter = target, 0  # steps of exchange so far
        self.reference = 0  # which of the starts was the last
        self.met: dict[tuple[int, int], Exchanged] = {}  # by type, the smallest error of a pole-free r

    def chain(self, p: int, q: int) -> tuple[Exchanged, str]:
        """The first attempt that converges, and its name; else the best candidate, and why it is one.

        Raises:
            ValueError: not even a pole-free candidate was met.
        """
        for attempt, name in (
            (self.from_starts, "exchange from reference {}"),
            (self.with_half_steps, "exchange with half steps (omega = 0.5) from reference {}"),
            (self.one_degree_lower, "the best of type (p-1, q-1), whose error alternates often enough"),
            (self.along_delta, "homotopy in delta"),
            (self.along_degree, "homotopy in degree"),
        ):
            if found := attempt(p, q):
                return found, name.format(self.reference)
        return self.best_candidate(p, q)

    def from_starts(self, p: int, q: int, omega: float = 1.0, target: Target | None = None) -> Exchanged | None:
        """Exchange from each of the target's references."""
        for k, reference in enumerate(starts(target or self.target, p, q), 1):
            self.reference = k
            if found := self._from(reference, p, q, omega, target):
                return found
        return None

    def with_half_steps(self, p: int, q: int) -> Exchanged | None:
        """The same, relaxed: early peaks move past each other, and half of the way tames them."""
        return self.from_starts(p, q, omega=0.5)

    def one_degree_lower(self, p: int, q: int) -> Exchanged | None:
        """A defect of 1: p + q + 1 alternations prove the best of type (p-1, q-1) the best of (p, q) too."""
        if p < 2 or q < 1:
            return None
        lower = self.from_starts(p - 1, q - 1)
        return lower if lower and (lower.exact or lower.n_level() >= p + q + 1) else None

    def along_delta(self, p: int, q: int) -> Exchanged | None:
        """Solve for a wide gap and narrow it, carrying the peaks on each side's logarithmic scale."""
        if self.target.delta is None:
            return None
        widest = max(WIDEST * (1 - abs(self.target.center)), self.target.delta)
        n_steps = round(np.log(self.target.delta / widest) / np.log(DELTA_STEP))
        found, wider = None, self.target
        for delta in np.geomspace(widest, self.target.delta, n_steps + 1):
            narrower = _with_gap(self.target, float(delta))
            if found:
                left, right = shares(wider, found.peaks[highest(found.e, p + q + 2)])
                found = self._from(placed(narrower, left, right), p, q, target=narrower)
            else:  # some wide gap may be out of reach of the starts: keep narrowing
                found = self.from_starts(p, q, target=narrower)
            wider = narrower
        return found

    def along_degree(self, p: int, q: int) -> Exchanged | None:
        """Solve a lower type and add a peak to its error, wherever one leads to convergence."""
        lower = (p, q - 1) if q >= p else (p - 1, q)
        if lower[0] < 1 or lower[1] < 0:
            return None
        parent = self.from_starts(*lower) or self.along_degree(*lower)
        if parent is None or parent.exact:
            return parent
        for reference in _with_one_more(parent.peaks[highest(parent.e, p + q + 1)]):
            if found := self._from(reference, p, q):
                return found
        return None

    def best_candidate(self, p: int, q: int) -> tuple[Exchanged, str]:
        """Without convergence: the smallest error among what exchanges met and the product form.

        Raises:
            ValueError: there is none.
        """
        candidates = [(found, f"best of what exchanges met, of type {kind}") for kind, found in self.met.items()]
        sizes = [n for n in range(1, MAX_SIGN + 1) if _fits(rebuilt_type(self.target, n), p, q)]
        if sizes and self.target.name != "custom":
            r = rebuilt(self.target, sizes[-1])
            found = assess(self.target, r, p, q, on_continuum(self.target), np.empty(0))
            if found:
                candidates.append((found, f"the product form with Zolotarev's sign of degree {sizes[-1]}"))
        if not candidates:
            raise ValueError(f"no pole-free ({p}, {q}) candidate for {self.target.name}; try another degree")
        return min(candidates, key=lambda c: c[0].max_error)

    def _from(
        self, reference: np.ndarray, p: int, q: int, omega: float = 1.0, target: Target | None = None
    ) -> Exchanged | None:
        at = target or self.target
        found, n_iter = exchange(at, p, q, reference, on_continuum(at), omega)
        self.n_iter += n_iter
        if found and at is self.target and ((p, q) not in self.met or found.max_error < self.met[p, q].max_error):
            self.met[p, q] = found
        return found if found and found.converged else None


def _fits(lower: tuple[int, int], p: int, q: int) -> bool:
    return lower[0] <= p and lower[1] <= q


def _with_gap(target: Target, delta: float) -> Target:
    (low, _), (_, high) = target.intervals
    c = target.center
    return target._replace(delta=delta, intervals=((low, c - delta), (c + delta, high)))


def _with_one_more(points: np.ndarray) -> Iterator[np.ndarray]:
    """A point more between any two; next to the ends, where peaks crowd when a pole is near, also close to either."""
    for i in range(1, len(points)):
        for share in (0.5, 0.05, 0.95) if i in (1, len(points) - 1) else (0.5,):
            yield np.insert(points, i, points[i - 1] + share * (points[i] - points[i - 1]))
