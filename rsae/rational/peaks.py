"""Where a function of one variable is largest between given points."""

from collections.abc import Callable

import numpy as np

ROUNDS, ZOOM = 9, 9  # refinements of a peak, points in each: the bracket shrinks by 4^9


def refined(function: Callable[[np.ndarray], np.ndarray], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where ``function`` is largest in each bracket [a, b], all brackets at once.

    Keeps zooming to the neighbours of the highest point, so the bracket should hold one peak only. The
    function takes an array [n_brackets, n_points]; at a smooth peak the height is exact to rounding.
    """
    row, middle = np.arange(len(a)), a
    for _ in range(ROUNDS):
        t = np.linspace(a, b, ZOOM, axis=1)
        top = np.argmax(function(t), axis=1)
        middle = t[row, top]
        a, b = t[row, np.maximum(top - 1, 0)], t[row, np.minimum(top + 1, ZOOM - 1)]
    return middle
