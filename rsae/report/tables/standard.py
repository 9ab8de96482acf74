"""Markdown tables that a person reads: reconstruction, downstream, win / tie / loss."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from tabulate import tabulate

from rsae.report.stats.bootstrap import interval
from rsae.report.stats.cells import Comparison, Pair
from rsae.report.stats.metrics import COMPARED, KNOWN, METRICS
from rsae.report.stats.verdicts import ABSOLUTE, RELATIVE, Verdict, verdicts
from rsae.report.tables.claims import Costs
from rsae.report.tables.writing import plain

RULE = """\
`hard` codes are exactly 0 outside the declared support, and every number of their row uses those
very codes; `raw` codes are the gate's own output. Arms with several seeds show the mean over seeds.
Brackets: 95% interval, bootstrap over test documents and seeds.
"""


def measured(title: str, pairs: Sequence[Pair], metrics: Sequence[str], costs: Costs) -> str:
    """One table per pair, one row per (arm, support)."""
    parts = [f"# {title}\n", RULE]
    for pair in pairs:
        weights = pair.weights()
        table = []
        for arm, support in dict.fromkeys((c.arm, c.support) for c in pair.cells):
            seeds = sum((c.arm, c.support) == (arm, support) for c in pair.cells)
            row: list[str] = [arm, support, str(seeds)]
            for name in metrics:
                values = pair.averaged(arm, support, name, weights)
                low, high = interval(values[0], values[1:], KNOWN[name].within)
                row.append(f"{plain(values[0])} [{plain(low)}, {plain(high)}]")
            cost = costs[pair.host, pair.teacher, arm]
            row += [f"{cost.added_parameters:+d}" if cost.added_parameters else "0"]
            row += ["" if cost.seconds is None else f"{cost.seconds:.0f}"]
            table.append(row)
        columns = next(iter(pair.cells.values()))
        n_tok = int(columns["n_tok"].sum())
        parts.append(
            f"## {pair.host} / {pair.teacher}\n\n"
            f"{pair.n_doc} test documents, {n_tok} activations, {int(columns['n_pred'].sum())} predictions.\n"
        )
        headers = ["arm", "codes", "seeds", *metrics, "added parameters", "fine-tune s"]
        parts.append(tabulate(table, headers, tablefmt="github", disable_numparse=True) + "\n")
    parts.append("Units: " + "; ".join(f"{m}: {METRICS[m].unit}" for m in metrics) + ".\n")
    return "\n".join(parts)


def not_run(reasons: Mapping[str, str]) -> str:
    """A section that names every pair without numbers; empty where there is none."""
    if not reasons:
        return ""
    rows = [[*pair.split("/", 1), "not run", reason] for pair, reason in reasons.items()]
    return "\n## Not run\n\n" + tabulate(rows, ["host", "teacher", "", "why"], tablefmt="github") + "\n"


def win_loss(comparisons: Sequence[Comparison]) -> str:
    """Verdicts against the teacher and against the teacher that got the same fine-tune."""
    parts = [
        "# Win / tie / loss\n",
        "A win or loss is a paired 95% interval (bootstrap over test documents and seeds) that\n"
        "excludes 0; in brackets the difference, arm minus baseline, in the metric's unit.\n"
        "`win*` is a win of an arm whose L0 on these codes is above the teacher's (interval excludes 0):\n"
        "it does not count, for it was paid for with more active features. Arms are not matched in L0\n"
        "here: read every verdict beside the one on l0.\n",
    ]
    questions = {
        "teacher": "Against the untuned teacher (the paper's question)",
        "teacher_ft": "Against the teacher that got the same fine-tune (the honest one)",
    }
    for baseline, question in questions.items():
        chosen = [c for c in comparisons if c.baseline == baseline]
        keys = dict.fromkeys((c.host, c.teacher, c.arm, c.support) for c in chosen)
        table = []
        for key in keys:
            cells = {c.metric: c for c in chosen if (c.host, c.teacher, c.arm, c.support) == key}
            table.append([*key, *(_verdict(cells[m]) for m in COMPARED)])
        parts.append(f"## {question}\n")
        headers = ["host", "teacher", "arm", "codes", *COMPARED]
        parts.append(tabulate(table, headers, tablefmt="github", disable_numparse=True) + "\n")
        parts.append(_count(chosen))
    return "\n".join(parts)


def _verdict(c: Comparison) -> str:
    mark = "*" if c.verdict == "win" and c.l0_exceeded and c.metric != "l0" else ""
    return f"{c.verdict}{mark} ({plain(c.difference, signed=True)})"


def _count(chosen: Iterable[Comparison]) -> str:
    by_arm: dict[tuple[str, str], Counter[str]] = {}
    for c in chosen:
        void = c.verdict == "win" and c.l0_exceeded and c.metric != "l0"
        by_arm.setdefault((c.arm, c.support), Counter())["win*" if void else c.verdict] += 1
    kinds = ("win", "tie", "loss", "win*")
    table = [[arm, support, *(n[k] for k in kinds)] for (arm, support), n in by_arm.items()]
    return (
        "Counted over all pairs and metrics:\n\n" + tabulate(table, ["arm", "codes", *kinds], tablefmt="github") + "\n"
    )


def strict(comparisons: Sequence[Comparison]) -> str:
    """Hard codes against each baseline, in percent, with Holm over each table and a minimum effect."""
    parts = [
        "# What is left\n",
        "Hard codes alone. A win or loss is significant at 5% after Holm's adjustment over the whole table\n"
        "(bootstrap over test documents and seeds) and at least as large as an effect fixed beforehand: "
        + ", ".join([*(f"{m} {100 * v:g}%" for m, v in RELATIVE.items()), *(f"{m} {v:g}" for m, v in ABSOLUTE.items())])
        + ".\n`paid`: it would be a win, but with more active features than the baseline. Arms are not matched in\n"
        "L0: read a win or a loss beside the one on l0.\n",
    ]
    for baseline in dict.fromkeys(c.baseline for c in comparisons):
        family = verdicts([c for c in comparisons if c.baseline == baseline and c.support == "hard"])
        rows: dict[tuple[str, str, str], dict[str, Verdict]] = {}
        for v in family:
            rows.setdefault((v.comparison.host, v.comparison.teacher, v.comparison.arm), {})[v.comparison.metric] = v
        table = [[*key, *(_effect(cells[m]) for m in COMPARED)] for key, cells in rows.items()]
        parts.append(f"## Against {baseline} ({len(family)} comparisons)\n")
        parts.append(tabulate(table, ["host", "teacher", "arm", *COMPARED], tablefmt="github", disable_numparse=True))
        parts.append("")
    return "\n".join(parts)


def _effect(v: Verdict) -> str:
    return f"{v.word} ({effect(v.comparison.metric, v.comparison.difference, v.comparison.reference)})"


def effect(metric: str, difference: float, reference: float) -> str:
    """A difference in percent of the baseline's value, or in the metric's unit where that is a share."""
    return f"{100 * difference / reference:+.1f}%" if metric in RELATIVE else f"{difference:+.4f}"
