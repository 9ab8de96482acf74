"""Sparse probes beside the other numbers of a pair: rows, a table, and what claims need."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tabulate import tabulate

from rsae.evaluate import probe_scores
from rsae.evaluate.labels import LABELS
from rsae.evaluate.probe_scores import DENSE, KS
from rsae.report.stats.bootstrap import interval
from rsae.report.stats.cells import Pair, comparisons
from rsae.report.stats.metrics import KNOWN, PROBING
from rsae.report.stats.verdicts import verdicts

OVERALL = tuple(f"probe_k{k}" for k in KS)  # means over labels
TEXT = """\
# Sparse probing

How well the k features that differ most between two classes tell these apart: balanced accuracy on test
documents, 0.5 is chance. The protocol is SAEBench's ({draws} balanced training sets per class, the same for every
SAE); k = 1, 2, 5; {labels}
`residual`: the same on the numbers of the residual stream, `all` is a probe on every one of them. `random`: the same
on a dictionary of random directions, as large and as sparse as the teacher's.
Brackets: 95% interval, bootstrap over test documents and seeds.
"""
OWN = """\
probes are trained on fine-tuning documents, whose labels no SAE has seen. Labels are what the text itself says: the
package, whether a module, a class or a function is described, the docstring's section (its heading left out), the
kind of the next token. `probe_k1` is the mean over labels."""
GIVEN = """\
probes are trained and judged on different documents of the labelled text `{name}`. `probe_k1` is the mean over its
classes, at most five."""


def read(pair: Pair, path: Path, text: str | None = None) -> Pair:
    """The probes of a pair, baselines among them, as columns that the metrics of ``PROBING`` read.

    Documents are those of the pair, or of another ``text``.

    Raises:
        ValueError: an SAE of the pair was not probed, or other documents were.
    """
    found = {c: columns(probes) for c, probes in probe_scores.read(path, pair.n_doc if text is None else None).items()}
    if missing := [cell for cell in pair.cells if cell not in found]:
        raise ValueError(f"{path} lacks {tuple(missing[0])}; delete it and run again")
    return pair._replace(cells=found)


def columns(probes: Sequence[probe_scores.Score]) -> dict[str, np.ndarray]:
    """Of one SAE, as the metrics of ``PROBING`` read them; each [n_doc]."""
    found: dict[str, np.ndarray] = {}
    for s in probes:
        name = f"probe/{s.k}/{s.label}/{s.positive}"
        found |= {f"{name}/{field}": getattr(s, field) for field in probe_scores.Score._fields[3:]}
        found[f"n_{s.label}"] = s.n_of + s.n_rest  # the same for each of its classes
    found["n_example"] = np.sum([found[f"n_{label}"] for label in {s.label for s in probes}], axis=0)
    found["n_tok"] = found["n_example"]
    return found


def joined(pair: Pair, probed: Pair) -> Pair:
    """The pair with its probes; without the baselines, of which nothing else is known."""
    return pair._replace(cells={cell: probed.cells[cell] | columns for cell, columns in pair.cells.items()})


def metrics(columns: Mapping[str, np.ndarray]) -> list[str]:
    """Those of ``PROBING`` that a cell has columns for."""
    found = set()
    for name in columns:
        if name.startswith("probe/"):
            _, k, label, *_ = name.split("/")
            mean = "probe_all" if int(k) == DENSE else f"probe_k{k}"
            found |= {mean, f"{mean}_{label}"}
    return [name for name in PROBING if name in found]


def table(pairs: Sequence[tuple[Pair, Pair]], text: str | None = None) -> str:
    """``pairs`` are (pair, its probes)."""
    labels = OWN if text is None else GIVEN.format(name=text)
    parts = [TEXT.format(draws=probe_scores.DRAWS, labels=labels)]
    for pair, probed in pairs:
        parts.append(f"## {probed.host} / {probed.teacher}\n")
        compared = probed._replace(cells={cell: probed.cells[cell] for cell in pair.cells})
        parts += [_overall(probed)] + [_by_label(probed)] * (text is None) + [_differences(compared)]
    return "\n".join(parts)


def _overall(probed: Pair) -> str:
    weights, body = probed.weights(), []
    columns = [*OVERALL, "probe_all"]
    for (arm, support), having in _rows(probed):
        row = [arm, support, str(sum((c.arm, c.support) == (arm, support) for c in probed.cells))]
        for name in columns:
            values = probed.averaged(arm, support, name, weights) if name in having else None
            if values is None:
                row.append("")
            else:
                low, high = interval(values[0], values[1:], KNOWN[name].within)
                row.append(f"{values[0]:.3f} [{low:.3f}, {high:.3f}]")
        body.append(row)
    headers = ["arm", "codes", "seeds", *(c.removeprefix("probe_") for c in columns)]
    return tabulate(body, headers, tablefmt="github", disable_numparse=True) + "\n"


def _by_label(probed: Pair) -> str:
    once, body = np.ones((1, probed.n_doc)), []
    labels = [label for label in LABELS if any(f"probe_k1_{label}" in having for _, having in _rows(probed))]
    for (arm, support), having in _rows(probed):
        row = [arm, support]
        for label in labels:
            asked = [m for m in PROBING if m.endswith(f"_{label}") and m in having]
            row.append(" / ".join(f"{float(probed.averaged(arm, support, m, once)[0]):.3f}" for m in asked))
        body.append(row)
    headers = ["arm", "codes", *(f"{label}: k = 1 / 2 / 5 (/ all)" for label in labels)]
    return tabulate(body, headers, tablefmt="github", disable_numparse=True) + "\n"


def _rows(probed: Pair) -> list[tuple[tuple[str, str], list[str]]]:
    """(arm, support) in table order, each with the metrics that it has."""
    return list({(cell.arm, cell.support): metrics(columns) for cell, columns in probed.cells.items()}.items())


def _differences(pair: Pair) -> str:
    found = [c for c in comparisons(pair, metrics=OVERALL) if c.support == "hard"]
    body = [
        [
            c.arm,
            c.baseline,
            c.metric,
            f"{c.difference:+.4f}",
            f"[{c.ci_low:+.4f}, {c.ci_high:+.4f}]",
            "< 0.0001" if p < 1e-4 else f"{p:.1g}",
            word,
        ]
        for c, p, word in verdicts(found)
    ]
    headers = ["arm, hard codes", "minus", "metric", "difference", "95% interval", "p (Holm)", "verdict"]
    return tabulate(body, headers, tablefmt="github", disable_numparse=True) + "\n"
