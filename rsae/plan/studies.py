"""Studies beside the suites: the atlas of gate fits and the paper's theory made checkable.

They train nothing and read no data, so they hang on no suite: `snakemake gates`, `snakemake theory`.
"""

from pathlib import Path
from typing import Any

from rsae.plan.job import Job
from rsae.plan.paths import fit_path

DEGREES = [(1, 1), (2, 1), (3, 2), (4, 3), (5, 4), (6, 5), (7, 6), (8, 7), (9, 8)]
GATES: list[dict[str, Any]] = [
    {"target": "relu", "theta": None, "delta": None},
    *({"target": "jumprelu", "theta": t, "delta": d} for t, d in [(0.05, 0.02), (0.1, 0.003), (0.1, 0.02)]),
    *({"target": "jumprelu", "theta": t, "delta": d} for t, d in [(0.1, 0.05), (0.3, 0.05)]),
    {"target": "topk", "theta": 0.1, "delta": 0.02},
    *({"target": "sign", "theta": None, "delta": d} for d in [0.02, 0.1]),
]
# every combination is fitted, to count how many converge
GRID = {"theta": [0.02, 0.05, 0.1, 0.2, 0.5], "delta": [0.001, 0.005, 0.01, 0.05, 0.1]}
GRID_DEGREES = [(3, 2), (5, 4), (7, 6), (9, 8)]
GATE_FILES = ("fits.csv", "fits.md", "reported.csv", "reported.md", "grid.csv", "grid.md")
GATE_FIGURES = ("gates", "errors", "degree")
THEORY_FILES = ("size.csv", "size.md", "pieces.csv", "pieces.md", "rebuilt.csv", "rebuilt.md")
THEORY_FIGURES = ("size", "pieces", "rebuilt")


def gates(results: Path = Path("results")) -> Job:
    """The atlas of gate fits: degrees, reported against measured, figures."""
    fits = [fit_path(results, {**gate, "degree": degree}) for gate in GATES for degree in DEGREES]
    return Job(
        "studies.gates",
        fits,
        {"fits": fits, "out": results / "gates" / "atlas"},
        {"grid": GRID, "grid_degrees": [list(d) for d in GRID_DEGREES]},
    )


def theory(results: Path = Path("results")) -> Job:
    """The paper's theorems against measured sizes and errors."""
    return Job("studies.theory", [], {"out": results / "theory"}, {})


def files(folder: Path, tables: tuple[str, ...], figures: tuple[str, ...]) -> list[Path]:
    """What a study writes; each figure as a picture for the web and one for eyes and tools."""
    return [folder / t for t in tables] + [folder / f"{f}.{kind}" for f in figures for kind in ("svg", "png")]


def gate_files(results: Path = Path("results")) -> list[Path]:
    """The atlas's tables and figures."""
    return files(results / "gates" / "atlas", GATE_FILES, GATE_FIGURES)


def theory_files(results: Path = Path("results")) -> list[Path]:
    """The theory's tables and figures."""
    return files(results / "theory", THEORY_FILES, THEORY_FIGURES)
