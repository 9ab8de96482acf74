"""What a caller states, looked at before anything is loaded; a mistake names it as the caller does."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from rsae.config.types import KINDS, Precision, near
from rsae.runtime.caller import word

# What people say: the tuned arm. Of the two that prune, the one whose proposals stay: with b_dec trained as well, a
# dense ReLU SAE proposed ever more features and became worse (docs/pareto.md).
GATES = {"resolvent": "resolvent", "pruned": "pruned_held", "rational": "rsae"}


def check(
    *,
    gate: Any,
    kind: Any,
    steps: Any,
    batch: Any,
    lrs: Any,
    l1_coefficient: Any,
    seed: Any,
    precision: Any,
    stated: Mapping[str, Any] | None,
) -> None:
    """Arguments of :func:`rsae.upgrade` that can be wrong by themselves.

    Raises:
        ValueError: one of them is; the first is named, with what it may be.
    """
    _one_of("gate", gate, GATES)
    _one_of("precision", precision, get_args(Precision))
    if kind is not None:
        _one_of("kind", kind, KINDS)
    whole("steps", steps, 0)
    whole("batch", batch, 1)
    whole("seed", seed, 0)
    rates = [*lrs]
    if not rates:
        raise ValueError(f"{word('lrs')} is empty; give at least one learning rate, such as [3e-4]")
    for rate in rates:
        _number("lrs", rate, above=0.0)
    if l1_coefficient is not None:
        _number("l1_coefficient", l1_coefficient, least=0.0)
    if stated and stated.get("k") is not None:
        whole("k", stated["k"], 1)
    if stated and stated.get("input_scale") is not None:
        _number("input_scale", stated["input_scale"], above=0.0)


def whole(name: str, value: Any, least: int) -> None:
    """Raise a ValueError unless ``value`` is a whole number of at least ``least``."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < least:
        raise ValueError(f"{word(name)} must be a whole number of at least {least}, got {value!r}")


def _number(name: str, value: Any, above: float | None = None, least: float | None = None) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or (above is not None and value <= above) or (least is not None and value < least):
        bound = f"above {above:g}" if above is not None else f"of at least {least:g}"
        raise ValueError(f"{word(name)} must be a finite number {bound}, got {value!r}")


def _one_of(name: str, value: Any, known: Iterable[str]) -> None:
    known = [*known]
    if value not in known:
        raise ValueError(f"{word(name)} must be one of {', '.join(known)}, got {value!r}{near(str(value), known)}")
