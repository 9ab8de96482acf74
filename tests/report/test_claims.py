"""A claim's verdict follows from its rows, and a claim without rows says so."""

from rsae.report.stats.cells import Comparison
from rsae.report.tables.claims import Cost, claims


def row(teacher, arm, baseline, support, metric, difference, denser=False):
    return Comparison(
        "h", teacher, arm, baseline, support, metric, difference, difference - 0.01, difference + 0.01,
        "win", False, denser, 10.0, 1e-9,
    )  # fmt: skip


def section(text, title):
    (found,) = (part for part in text.split("\n## ") if part.startswith(title))
    return found


def test_a_gain_by_leakage_is_not_a_win_and_the_control_decides():
    rows = []
    for teacher, against_control in (("relu", -1.0), ("topk", 1.0)):
        for metric in ("mse_sum", "delta_ce"):
            rows.append(row(teacher, "rsae", "teacher", "raw", metric, -5.0, denser=True))
            rows.append(row(teacher, "rsae", "teacher_ft", "hard", metric, against_control))
    text = claims(rows, {})
    raw = section(text, "C2. It beats the teacher: raw codes, untuned teacher")
    assert "**Does not hold on every teacher**: h/relu, h/topk." in raw
    assert "On h/relu, h/topk the gain is paid for with more active features." in raw
    assert "-50.0%" in raw
    control = section(text, "C2, against the teacher that got the same fine-tune")
    assert "**Holds on h/relu; does not hold on h/topk.**" in control


def test_one_metric_that_fails_fails_the_claim():
    rows = [
        row("relu", "rsae_init", "teacher", "hard", metric, d) for metric, d in (("mse_sum", 0.01), ("delta_ce", 2.0))
    ]
    assert "**Fails on every teacher**: h/relu." in section(claims(rows, {}), "C1. The copy starts")
    assert "**Holds on every teacher**: h/relu." in section(claims(rows[:1], {}), "C1. The copy starts")


def test_what_was_not_run_says_so():
    text = claims([], {})
    assert text.count("Not run") == 15
    assert "win" not in text.split("##", 1)[1]


def test_costs_are_counted():
    costs = {("h", "relu", "rsae"): Cost(9, 41.4), ("h", "relu", "teacher"): Cost(0, None)}
    assert "| +9" in section(claims([], costs), "C4, C5.")
    assert "| 41 s" in section(claims([], costs), "C4, C5.")


def test_features_are_preserved_only_where_a_loss_is_excluded():
    def probe(teacher, difference, low):
        return row(teacher, "rsae", "teacher", "hard", "probe_k1", difference)._replace(ci_low=low, p=1e-9)

    text = claims([probe("a", 0.0, -0.015), probe("b", 0.0, -0.03), probe("c", -0.05, -0.06)], {})
    said = section(text, "C6. Features stay interpretable").splitlines()[2]
    assert said == "**Preserved on h/a**; **Not settled on h/b**; **Lost on h/c**."


def test_ours_needs_less_error_and_no_more_features_and_may_have_as_many():
    def resolvent(teacher, l0, error=-1.0):
        return [
            row(teacher, "resolvent", "teacher_ft", "hard", "mse_sum", error, denser=l0 > 0.1),
            row(teacher, "resolvent", "teacher_ft", "hard", "delta_ce", error, denser=l0 > 0.1),
            row(teacher, "resolvent", "teacher_ft", "hard", "l0", l0),
        ]

    # a reference of 10, so that 0.05 is half of the least difference that counts
    rows = [
        *resolvent("fewer", -1.0),
        *resolvent("same", -0.05),
        *resolvent("more", 1.0),
        *resolvent("worse", -1.0, 1.0),
    ]
    said = section(claims(rows, {}), "Ours. The resolvent beats the teacher").splitlines()[2]
    assert said.startswith("**Holds on h/fewer, h/same; does not hold on h/more, h/worse.**")
