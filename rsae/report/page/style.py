"""How every figure is drawn and written: the same bytes from the same numbers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib

from rsae.runtime.files import replacing

matplotlib.use("agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

STYLE: Any = {
    "svg.hashsalt": "rsae",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


@contextmanager
def panels(
    out: Path, name: str, n: int, width: float = 3.6, height: float = 3.2, beneath: float = 0.0
) -> Iterator[list[Axes]]:
    """``n`` panels side by side, written to ``out/name.svg`` and ``out/name.png`` at the end.

    With ``beneath`` each has a second one of that relative height under it, with the same x axis; these come last.
    """
    with plt.rc_context(STYLE):
        ratios = [1.0, beneath] if beneath else [1.0]
        figure, axes = plt.subplots(
            len(ratios), n, figsize=(width * n, height), squeeze=False, height_ratios=ratios, sharex="col"
        )
        yield [axis for row in axes for axis in row]
        with replacing(out / f"{name}.svg") as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None})
        with replacing(out / f"{name}.png") as temporary:
            figure.savefig(temporary, format="png", dpi=90)
        plt.close(figure)
