"""The paper's claims and ours, each with the comparisons that decide it and a verdict in words.

Every number is a difference of two values of ``cells.csv``: means over seeds of the rows that the
columns host, teacher, arm, codes and metric name.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tabulate import tabulate

from rsae.report.stats.cells import Comparison
from rsae.report.stats.verdicts import RELATIVE, Verdict, verdicts
from rsae.report.tables.writing import plain


class Cost(NamedTuple):
    """What an arm costs: parameters beyond the teacher's, mean seconds of fine-tuning per seed."""

    added_parameters: int
    seconds: float | None  # None where nothing was trained


Costs = Mapping[tuple[str, str, str], Cost]  # by (host, teacher, arm)


Judge = Callable[[Sequence[Verdict]], str]


class Question(NamedTuple):
    """Which comparisons decide a claim, and how they are put in words."""

    title: str
    arm: str
    baseline: str
    support: str
    metrics: tuple[str, ...]
    judge: Judge


def claims(comparisons: Sequence[Comparison], costs: Costs) -> str:
    """All claims that the suite's arms can speak to; the others say that they were not run."""
    parts = [
        "# Claims\n",
        "A difference is arm minus baseline; it counts if it is significant at 5% after Holm's adjustment over the\n"
        "rows of its claim and at least as large as the minimum effect, else it is a tie; `paid` is a win with more\n"
        "active features than the baseline. All of it is about this suite's hosts and teachers and no others.\n"
        "Features are `lost` if sparse probes lose by that rule, `preserved` if every 95% interval excludes a loss\n"
        f"of {MARGIN:g} in balanced accuracy, else not settled.\n",
    ]
    for title, arm, baseline, support, metrics, judge in QUESTIONS:
        rows = verdicts(
            [
                c
                for c in comparisons
                if (c.arm, c.baseline, c.support) == (arm, baseline, support) and c.metric in metrics
            ]
        )
        parts.append(f"## {title}\n\n" + (f"{judge(rows)}\n\n{_table(rows)}\n" if rows else "Not run in this suite.\n"))
    parts.append(_costs(costs))
    return "\n".join(parts)


def _split(rows: Sequence[Verdict], *words: str) -> tuple[list[str], list[str]]:
    """Teachers on which every row has one of ``words``, and the others."""
    by_teacher: dict[str, list[str]] = {}
    for v in rows:
        by_teacher.setdefault(f"{v.comparison.host}/{v.comparison.teacher}", []).append(v.word)
    good = [t for t, found in by_teacher.items() if all(w in words for w in found)]
    return good, [t for t in by_teacher if t not in good]


def _said(good: list[str], bad: list[str], holds: str, fails: str) -> str:
    if not bad:
        return f"**{holds} on every teacher**: {', '.join(good)}."
    if not good:
        return f"**{fails} on every teacher**: {', '.join(bad)}."
    return f"**{holds} on {', '.join(good)}; {fails.lower()} on {', '.join(bad)}.**"


def _equal(rows: Sequence[Verdict]) -> str:
    return _said(*_split(rows, "tie"), "Holds", "Fails")


def _no_worse(rows: Sequence[Verdict]) -> str:
    return _said(*_split(rows, "tie", "win", "paid"), "Holds", "Fails")


def _better(rows: Sequence[Verdict]) -> str:
    wins, rest = _split(rows, "win")
    paid = [t for t in _split(rows, "win", "paid")[0] if t not in wins]
    said = _said(wins, rest, "Holds", "Does not hold")
    return said + (f" On {', '.join(paid)} the gain is paid for with more active features." if paid else "")


def _better_and_no_denser(rows: Sequence[Verdict]) -> str:
    """Less error at an l0 that is not above the baseline's; it may be the same."""
    return _better([v for v in rows if v.comparison.metric != "l0" or v.word == "loss"])


def _preserved(rows: Sequence[Verdict]) -> str:
    """Preserved needs evidence: a tie may be a wide interval."""
    by_teacher: dict[str, list[Verdict]] = {}
    for v in rows:
        by_teacher.setdefault(f"{v.comparison.host}/{v.comparison.teacher}", []).append(v)
    words = {
        teacher: "lost"
        if any(v.word == "loss" for v in found)
        else "preserved"
        if all(v.comparison.ci_low > -MARGIN for v in found)
        else "not settled"
        for teacher, found in by_teacher.items()
    }
    return (
        "; ".join(
            f"**{word.capitalize()} on {', '.join(t for t, w in words.items() if w == word)}**"
            for word in dict.fromkeys(words.values())
        )
        + "."
    )


def _table(rows: Sequence[Verdict]) -> str:
    table = []
    for c, p, word in rows:
        percent = f"{100 * c.difference / c.reference:+.1f}%" if c.metric in RELATIVE else ""
        between = f"[{plain(c.ci_low, True)}, {plain(c.ci_high, True)}]"
        table.append(
            [c.host, c.teacher, c.arm, c.support, c.metric, plain(c.reference), plain(c.difference, True), between,
             percent, "< 0.0001" if p < 1e-4 else f"{p:.1g}", word]
        )  # fmt: skip
    headers = [
        "host",
        "teacher",
        "arm",
        "codes",
        "metric",
        "baseline",
        "difference",
        "95% interval",
        "",
        "p",
        "verdict",
    ]
    return tabulate(table, headers, tablefmt="github", disable_numparse=True)


def _costs(costs: Costs) -> str:
    table = [
        [host, teacher, arm, f"{cost.added_parameters:+d}", f"{cost.seconds:.0f} s"]
        for (host, teacher, arm), cost in costs.items()
        if cost.seconds is not None and arm in ("teacher_ft", "rsae", "resolvent", "pruned")
    ]
    if not table:
        return "## C4, C5. A few scalars, minutes of fine-tuning\n\nNot run in this suite.\n"
    headers = ["host", "teacher", "arm", "parameters beyond the teacher's", "fine-tune of one seed"]
    return (
        "## C4, C5. A few scalars, minutes of fine-tuning\n\nCounted and measured on the machine of the run card:\n\n"
        + tabulate(table, headers, tablefmt="github", disable_numparse=True)
        + "\n"
    )


ERRORS = ("mse_sum", "delta_ce")
PROBES = ("probe_k1", "probe_k2", "probe_k5")  # balanced accuracy, mean over labels
MARGIN = 0.02  # balanced accuracy: what may be lost where features are called preserved
QUESTIONS = [
    Question("C1. The copy starts as the teacher's equal", "rsae_init", "teacher", "hard", ERRORS, _equal),
    Question("C1, on raw codes", "rsae_init", "teacher", "raw", ERRORS, _equal),
    Question("C2. It beats the teacher: raw codes, untuned teacher", "rsae", "teacher", "raw", ERRORS, _better),
    Question("C2, on codes that are counted as they are used", "rsae", "teacher", "hard", ERRORS, _better),
    Question("C2, against the teacher that got the same fine-tune", "rsae", "teacher_ft", "hard", ERRORS, _better),
    Question("C3. It is nowhere worse than the teacher", "rsae", "teacher", "hard", (*ERRORS, "alive"), _no_worse),
    Question("C6. Features stay interpretable", "rsae", "teacher", "hard", PROBES, _preserved),
    Question("C6, of the teacher that got the same fine-tune", "teacher_ft", "teacher", "hard", PROBES, _preserved),
    Question(
        "Ours. The resolvent beats the teacher that got the same fine-tune, with no more features",
        "resolvent", "teacher_ft", "hard", (*ERRORS, "l0"), _better_and_no_denser,
    ),
    Question("Ours. The resolvent's features stay interpretable", "resolvent", "teacher", "hard", PROBES, _preserved),
    Question("Ours, without training", "resolvent_init", "teacher", "hard", ERRORS, _better),
    Question(
        "Ours. The resolvent that chooses features too beats the teacher that got the same fine-tune",
        "pruned", "teacher_ft", "hard", (*ERRORS, "l0"), _better_and_no_denser,
    ),
    Question("Ours. The features that it chooses stay interpretable", "pruned", "teacher", "hard", PROBES, _preserved),
    Question(
        "Ours. It does so without training", "pruned_init", "teacher_ft", "hard", (*ERRORS, "l0"), _better_and_no_denser
    ),
]  # fmt: skip
