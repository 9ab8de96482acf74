"""The figure and the table of docs/speed.md, from results/speed.json."""

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator, NullLocator

HERE = Path(__file__).parent
KEPT, DOCS = HERE / "results/speed.json", HERE.parent / "docs"
MARK = "<!-- table -->"
COMPARED = ("products", "gate", "step", "shards", "harvest", "downstream", "encode")


def table(kept: dict[str, Any]) -> str:
    """One line per comparison; a ratio is the median of the rounds, with the lowest and the highest."""
    lines = ["| comparison | ratio | lowest to highest | must reach | reached |", "|---|---|---|---|---|"]
    for name in COMPARED:
        for r in kept.get(name, {}).get("found", []):
            if "not_run" in r:
                lines.append(f"| {r['what']} | not run: {r['not_run']} | | | |")
            else:
                reached = {True: "yes", False: "**no**", None: ""}[r.get("reached")]
                between = f"{r['lowest']:.2f} to {r['highest']:.2f}"
                lines.append(f"| {r['what']} | {r['ratio']:.2f} | {between} | {r.get('must', '')} | {reached} |")
    return "\n".join(lines)


def counts(kept: dict[str, Any]) -> str:
    """What no noise touches."""
    lines = ["| forward and backward of | saved tensors | passes | allocations | kernels |", "|---|---|---|---|---|"]
    for r in kept.get("counted", {}).get("found", []):
        lines.append(f"| {r['what']} | {r['saved']} | {r['passes']} | {r['allocations']} | {r['kernels']} |")
    return "\n".join(lines)


def growth(kept: dict[str, Any]) -> str:
    """Time and memory against size."""
    lines = ["| what grows | to | write, µs/token | read, µs/token | step, µs/token | peak memory, MB |"]
    lines.append("|---|---|---|---|---|---|")
    for r in kept.get("growth", {}).get("found", []):
        times = [f"{r[key]:.2f}" if key in r else "" for key in ("write_us", "read_us", "step_us")]
        lines.append(f"| {r['what']} | {r['size']:,} | {' | '.join(times)} | {r['peak_mb']:.0f} |")
    return "\n".join(lines)


def figure(kept: dict[str, Any], path: Path) -> None:
    """Ratios and what must be reached, on a logarithmic axis."""
    rows = [r for name in COMPARED for r in kept.get(name, {}).get("found", []) if "reached" in r]
    fig, ax = plt.subplots(figsize=(9, 0.32 * len(rows) + 1))
    for y, r in enumerate(reversed(rows)):
        ax.plot([r["lowest"], r["highest"]], [y, y], color="0.75", lw=3, zorder=1)
        ax.plot(r["ratio"], y, "o", color="C0" if r["reached"] else "C3", zorder=3)
        ax.plot(float(r["must"].split()[1]), y, "|", color="k", ms=11, mew=1.5, zorder=2)
    ax.set_yticks(range(len(rows)), [f"{r['what']} ({r['must']})" for r in reversed(rows)], fontsize=7)
    ax.set_xscale("log")
    ax.axvline(1, color="0.6", lw=0.7)
    ax.xaxis.set_major_locator(LogLocator(2))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_locator(NullLocator())
    fig.supxlabel("ratio: dot the median, bar the rounds, tick what must be reached; red where it was not", fontsize=8)
    fig.tight_layout()
    plt.rcParams |= {"svg.hashsalt": "speed", "svg.fonttype": "none"}  # the same bytes again, and text as text
    fig.savefig(path, metadata={"Date": None})
    plt.close(fig)


def main() -> None:
    """Write figure and tables in place."""
    kept = json.loads(KEPT.read_text())
    figure(kept, DOCS / "figures/speed.svg")
    page = DOCS / "speed.md"
    parts = page.read_text().split(MARK)
    for i, text in zip((1, 3, 5), (table(kept), counts(kept), growth(kept)), strict=True):
        parts[i] = f"\n{text}\n"
    page.write_text(MARK.join(parts))


if __name__ == "__main__":
    main()
