"""The paper's theorems made checkable: sizes, the inverse bound, gates rebuilt from one sign."""

from pathlib import Path

import numpy as np

from rsae.rational import targets
from rsae.rational.affine_pieces import fewest_continuous, fewest_jumping
from rsae.rational.attempts import Attempts
from rsae.rational.from_sign import rebuilt, rebuilt_type, sign_of
from rsae.rational.minimax import minimax
from rsae.rational.rates import growth, power
from rsae.rational.zolotarev import zolotarev_sign
from rsae.report.page.style import panels
from rsae.report.tables import writing

SIGN_DEGREES, SIGN_DELTAS = range(2, 81, 2), [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6]
RELU_DEGREES, JUMP_DEGREES = range(2, 41, 2), range(2, 21)  # q of type (q + 1, q); beyond 12 for the rate's sake
THETA, JUMP_DELTAS = 0.1, [1e-2, 1e-3, 1e-4, 1e-5]
SMALLEST, LARGEST = 1e-9, 1e-2  # errors between rounding and a jump (of 0.1) that is not resolved yet
ETA, POINTS, EPS = 0.1, 200001, np.geomspace(1e-1, 1e-5, 17)
REBUILT = [targets.relu(), targets.jumprelu(0.1, 0.02), targets.topk(0.3, 0.05)]


def run(out: Path) -> None:
    """Three studies, each a table, a figure and a sentence that says whether the theorem's rate was seen."""
    _size(out)
    _pieces(out)
    _rebuilt(out)


def _size(out: Path) -> None:
    rows: list[tuple[str, str, int, float, float]] = []
    for n in SIGN_DEGREES:
        rows += [("sign", "Zolotarev", n, delta, zolotarev_sign(n, delta).error) for delta in SIGN_DELTAS]
        rows.append(("relu", "h (sign + 1)/2", n, np.nan, sign_of(targets.relu(), n)[2]))
    for q in RELU_DEGREES:
        rows += _minimax(targets.relu(), q)
    for q in JUMP_DEGREES:
        for delta in JUMP_DELTAS:
            rows += _minimax(targets.jumprelu(THETA, delta), q)
    rows = sorted(r for r in rows if SMALLEST < r[-1] < LARGEST)
    found, sentences = [], []
    for target, how in dict.fromkeys(r[:2] for r in rows):
        n, delta, eps = np.array([r[2:] for r in rows if r[:2] == (target, how)]).T
        kink = target == "relu"
        rate = growth(n, eps, None if kink else delta)
        theorem, speed = (2, "π" if how == "minimax" else "π/√2") if kink else (1, "π²/2")
        a, b = rate.a, rate.b
        delta_columns = (b.text(), "1") if b else ("", "")
        found.append((target, how, a.text(), str(theorem), *delta_columns, f"{rate.speed.value:.3f}", speed))
        seen = abs(a.value - theorem) <= 0.1 * theorem and (b is None or abs(b.value - 1) <= 0.1)
        sentences.append(f"- {target} by {how}: the theorem's rate {'was' if seen else 'was not'} seen, to a tenth.")
    header = ["target", "how", "a", "theorem a", "b", "theorem b", "speed", "asymptotic speed"]
    text = f"""# Size against accuracy and gap

Degree n = c log(C/eps)^a log(4/delta)^b for {SMALLEST:g} < eps < {LARGEST:g}, fitted as
log(1/eps) = A + B (n / log(4/delta)^b)^(1/a); brackets: 95% intervals, as if residuals were independent. B is the
speed, known for large n: π²/2 from Zolotarev's 4 exp(-n π²/(2 log(4/delta))), π from Stahl's 4 exp(-π √n) for the
ReLU, π/√2 where the ReLU is rebuilt from one sign. n is the degree of the sign, or q of type (q + 1, q), which has
2q + 2 coefficients. JumpReLU at theta = {THETA}.

{writing.markdown(found, header)}

{chr(10).join(sentences)}
"""
    writing.write(rows, ["target", "how", "degree", "delta", "eps"], out, "size", text)
    with panels(out, "size", 3) as (sign, jump, relu):
        for axes, target, deltas in ((sign, "sign", SIGN_DELTAS), (jump, "jumprelu", JUMP_DELTAS)):
            for d in deltas:
                n, eps = np.array([(r[2], r[4]) for r in rows if r[0] == target and r[3] == d]).T
                axes.plot(n, eps, ".-", ms=4, lw=1, label=f"δ = {d:g}")
            axes.set(yscale="log", xlabel="degree n", ylabel="largest error ε")
            axes.legend(fontsize=7)
        sign.set(title="sign: log 1/ε ~ n / log(1/δ)")
        jump.set(title=f"JumpReLU, θ = {THETA}, type (n + 1, n)")
        for how in ("minimax", "h (sign + 1)/2"):
            n, eps = np.array([(r[2], r[4]) for r in rows if r[:2] == ("relu", how)]).T
            relu.plot(np.sqrt(n), eps, ".-", ms=4, lw=1, label=how)
        n = np.array([2.0, 40.0])
        relu.plot(np.sqrt(n), 4 * np.exp(-np.pi * np.sqrt(n)), "k:", lw=1, label="4 exp(-π √n)")
        relu.set(yscale="log", xlabel="√n", ylabel="largest error ε", title="ReLU: log 1/ε ~ √n")
        relu.legend(fontsize=7)


def _minimax(target: targets.Target, q: int) -> list[tuple[str, str, int, float, float]]:
    """A row for type (q + 1, q), or none where no exchange converged."""
    found, _ = Attempts(target).chain(q + 1, q)
    delta = np.nan if target.delta is None else target.delta
    return [(target.name, "minimax", q, delta, found.max_error)] if found.converged else []


def _pieces(out: Path) -> None:
    t = np.linspace(-1, 1, POINTS)
    bump = ETA**2 / (t**2 + ETA**2)
    curvature = ETA**2 * (6 * t**2 - 2 * ETA**2) / (t**2 + ETA**2) ** 3
    asymptotic = np.trapezoid(np.sqrt(np.abs(curvature)), t) / 4 / np.sqrt(EPS)
    joined, jumping = (
        np.array([f(t, bump, float(e)) for e in EPS], float) for f in (fewest_continuous, fewest_jumping)
    )
    relu, jump = power(EPS, joined), power(EPS, jumping)
    fit = minimax(targets.custom(lambda x: ETA**2 / (x**2 + ETA**2)), 1, 2)
    seen = max(abs(e.value + 0.5) for e in (relu, jump)) <= 0.05
    text = f"""# The inverse bound

Pieces that eta²/(x² + eta²), eta = {ETA}, takes on [-1, 1] to stay within eps; knots are free among {POINTS}
points. ReLU pieces join (each as long as it can be: an upper bound of the optimum, of which the next column is a lower
one); JumpReLU and TopK pieces may jump (optimal). One active coordinate per piece; TopK at a supplied threshold is the
same function of one argument as JumpReLU. Asymptotic: eps^(-1/2)/4 · ∫ sqrt|f''|.

The theorem's rate {"was" if seen else "was not"} seen: pieces grow as eps to the power {relu.text()} (ReLU) and
{jump.text()} (JumpReLU, TopK), -1/2 by the theorem, while the rational of type (0, 2) has 3 coefficients at every
eps (fitted as type (1, 2), its error is {fit.max_error:.1e}).
"""
    header = ["eps", "ReLU pieces", "JumpReLU or TopK pieces", "asymptotic", "rational coefficients"]
    rows = [
        (float(e), int(c), int(j), float(a), 3) for e, c, j, a in zip(EPS, joined, jumping, asymptotic, strict=True)
    ]
    writing.write(rows, header, out, "pieces", text)
    with panels(out, "pieces", 2) as (curve, count):
        eps, *shown = rows[2][:3]
        near = np.abs(t) <= 0.6
        curve.plot(t[near][::100], bump[near][::100], "k", lw=1, label=f"η²/(x² + η²), η = {ETA}")
        low, high = bump - eps, bump + eps
        curve.fill_between(
            t[near][::100], low[near][::100], high[near][::100], alpha=0.3, label=f"within ε = {eps:.2g}"
        )
        curve.set(xlabel="x", title=f"{shown[0]} joined pieces or {shown[1]} with jumps")
        curve.legend(fontsize=7, loc="upper left")
        count.plot(EPS, joined, "o", ms=5, mfc="none", label=f"ReLU: ε^{relu.text()}")
        count.plot(EPS, jumping, "x", ms=4, label=f"JumpReLU, TopK: ε^{jump.text()}")
        count.plot(EPS, asymptotic, "k:", lw=1, label="ε^(-1/2)/4 ∫√|f''|")
        count.plot(EPS, np.full(len(EPS), 3), "-", lw=1, label="rational: 3 coefficients")
        count.set(xscale="log", yscale="log", xlabel="ε", ylabel="pieces", title="exponent by the theorem: -1/2")
        count.legend(fontsize=7)


def _rebuilt(out: Path) -> None:
    rows = []
    steps = np.geomspace(1e-9, 2, 40001)
    for target in REBUILT:
        t = np.concatenate([target.center - steps[::-1], [target.center], target.center + steps])
        t = t[target.asked(t)]
        for n in range(1, 12):
            r, (_, _, bound) = rebuilt(target, n), sign_of(target, n)
            error = float(np.abs(r(t) - target.value(t)).max())
            p, q = rebuilt_type(target, n)
            best = minimax(target, p, q).max_error
            rows.append((target.name, n, f"({p}, {q})", error, bound, error / bound, best, error / best))
    sharp, gain = ([r[k] for r in rows] for k in (5, 7))
    text = f"""# Three gates from one sign

h (Z_n + 1)/2 with Zolotarev's Z_n of error E. The bound is E/2 for a jump (|h| <= 1 on the intervals) and
max(E, gap)/2 for the ReLU, which is asked inside the sign's gap too; there the gap is chosen equal to E.
JumpReLU: theta 0.1, delta 0.02; TopK: threshold 0.3, delta 0.05.

The theorem's bound {"holds" if max(sharp) <= 1 + 1e-9 else "FAILS"} for all {len(rows)} gates, and is sharp to
{1 - min(sharp):.1%}; exchange gains a factor of {min(gain):.1f} to {max(gain):.1f} over it at the same type.
"""
    header = ["target", "n", "type", "error", "bound", "error / bound", "minimax error", "error / minimax"]
    writing.write(rows, header, out, "rebuilt", text)
    with panels(out, "rebuilt", len(REBUILT)) as axes:
        for ax, target in zip(axes, REBUILT, strict=True):
            part = [r for r in rows if r[0] == target.name]
            n = [r[1] for r in part]
            ax.plot(n, [r[3] for r in part], "o", ms=5, mfc="none", label="h (Z_n + 1)/2")
            ax.plot(n, [r[4] for r in part], "k--", lw=1, label="bound")
            ax.plot(n, [r[6] for r in part], "s-", ms=3, lw=1, label="minimax, same type")
            ax.set(yscale="log", xlabel="degree n of the sign", ylabel="largest error", title=target.name)
            ax.legend(fontsize=7)
