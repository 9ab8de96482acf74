"""Does further training help a teacher? The control's own trials say so, on tuning documents."""

from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from rsae.report.stats.verdicts import RELATIVE

TEXT = """\
# Are the teachers converged?

Each teacher, trained on by its own objective: the trials by which its control was tuned (one seed, hard codes, error
on tuning documents, l0 on threshold documents). `helps`: a setting has at least 1% less error at an l0 that is
at most 1% higher. A gain over a teacher that further training helps is no gain until its control has had that training.
"""
SLACK = 1.01  # of l0, as in the choice of a setting


def helps(teacher: Mapping[str, float], tried: Mapping[str, float]) -> bool:
    """Whether a trial is better than the teacher by the minimum effect, at no more active features."""
    no_denser = tried["l0_threshold"] <= SLACK * teacher["l0_threshold"]
    return no_denser and tried["mse_sum"] <= (1 - RELATIVE["mse_sum"]) * teacher["mse_sum"]


def table(trials: Mapping[str, Mapping[str, Any]]) -> str:
    """``trials`` maps HOST/TEACHER to what :mod:`rsae.stages.training.tune` wrote of the control."""
    body = []
    for name, found in trials.items():
        teacher = found["teacher"]
        for t in found["tried"]:
            row = [name, f"{t['l1_coefficient']:g}", f"{t['lr']:g}"]
            row += [f"{teacher[k]:.4g} to {t[k]:.4g}" for k in ("mse_sum", "l0_threshold")]
            row += [f"{100 * (t['mse_sum'] / teacher['mse_sum'] - 1):+.1f}%", "helps" if helps(teacher, t) else ""]
            body.append(row)
    headers = ["teacher", "λ", "lr", "mse_sum", "l0", "change of mse_sum", ""]
    parts = [TEXT, tabulate(body, headers, tablefmt="github", disable_numparse=True), "", *_said(trials)]
    return "\n".join(parts) + "\n"


def _said(trials: Mapping[str, Mapping[str, Any]]) -> Sequence[str]:
    by_word: dict[str, list[str]] = {}
    for name, found in trials.items():
        word = "Not converged" if any(helps(found["teacher"], t) for t in found["tried"]) else "Converged"
        by_word.setdefault(word, []).append(name)
    return [f"**{word}**: {', '.join(names)}." for word, names in by_word.items()]
