"""Every metric as a function of weighted per-document sums: definition, unit, direction, version.

Weights of 1 give the value itself, multinomial counts a bootstrap resample of documents. All
ratios are ratios of pooled sums, so no metric depends on batch size or shard order.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from rsae.evaluate.labels import LABELS
from rsae.evaluate.probe_scores import DENSE, KS

Columns = Mapping[str, np.ndarray]
Weights = Float[np.ndarray, "n_draw n_doc"]
Values = Float[np.ndarray, " n_draw"]


class Metric(NamedTuple):
    """``better`` is -1 where less is better, +1 where more is, 0 where it is only a reference."""

    unit: str
    better: int
    version: int
    value: Callable[[Columns, Weights], Values]
    within: tuple[float, float] = (-math.inf, math.inf)  # what it can be; no interval goes beyond


SHARE = (0.0, 1.0)


def _ratio(numerator: str, denominator: str) -> Callable[[Columns, Weights], Values]:
    return lambda c, w: (w @ c[numerator]) / (w @ c[denominator])


def _share(part: str) -> Callable[[Columns, Weights], Values]:
    def value(c: Columns, w: Weights) -> Values:
        energy = w @ c["energy"]
        return (w @ c[part]) / np.where(energy > 0, energy, 1.0)  # an SAE that never fires writes nothing

    return value


def _alive(c: Columns, w: Weights) -> Values:
    # a feature is alive in a resample if it fired in any document that was drawn
    fired: UInt8[np.ndarray, "n_doc bits"] = c["fired"]
    drawn = (w > 0).astype(np.float32) @ fired.astype(np.float32)
    return (drawn > 0).sum(1) / float(c["d_sae"][0])


def _recovered(reference: str) -> Callable[[Columns, Weights], Values]:
    def value(c: Columns, w: Weights) -> Values:
        ablated, spliced, clean = w @ c[reference], w @ c["ce_spliced"], w @ c["ce_clean"]
        return (ablated - spliced) / (ablated - clean)

    return value


RECONSTRUCTION = {
    "mse_sum": Metric("activation² per token, summed over d_in", -1, 1, _ratio("sse", "n_tok")),
    "mse_mean": Metric(
        "activation² per token and dimension", -1, 1, lambda c, w: (w @ c["sse"]) / (w @ c["n_tok"]) / c["d_in"][0]
    ),
    "fvu": Metric("fraction", -1, 1, _ratio("sse", "sst")),
    "l0": Metric("features per token", -1, 1, _ratio("active", "n_tok")),
    "alive": Metric("fraction", +1, 1, _alive, SHARE),
    # what smooth codes hide, measured in what they write: |z_j| ‖W_dec,j‖
    "l0_effective": Metric("features per token", 0, 1, _ratio("effective", "n_tok")),
    "leak": Metric("fraction", 0, 1, _share("leaked"), SHARE),
    "negative": Metric("fraction", 0, 1, _share("negative"), SHARE),
}
DOWNSTREAM = {
    "ce_clean": Metric("nats per token", 0, 1, _ratio("ce_clean", "n_pred")),
    "ce_spliced": Metric("nats per token", -1, 1, _ratio("ce_spliced", "n_pred")),
    "ce_zero": Metric("nats per token", 0, 1, _ratio("ce_zero", "n_pred")),
    "ce_mean": Metric("nats per token", 0, 1, _ratio("ce_mean", "n_pred")),
    "delta_ce": Metric(
        "nats per token", -1, 1, lambda c, w: (w @ c["ce_spliced"] - w @ c["ce_clean"]) / (w @ c["n_pred"])
    ),
    "loss_recovered_zero": Metric("fraction", +1, 1, _recovered("ce_zero")),
    "loss_recovered_mean": Metric("fraction", +1, 1, _recovered("ce_mean")),
    "kl": Metric("nats per token", -1, 1, _ratio("kl", "n_pred")),
}
METRICS = RECONSTRUCTION | DOWNSTREAM


def _probed(k: int, label: str | None) -> Callable[[Columns, Weights], Values]:
    def value(c: Columns, w: Weights) -> Values:
        by_label: dict[str, list[Values]] = {}
        for name in c:
            if name.startswith(f"probe/{k}/") and name.endswith("/n_of") and label in (None, name.split("/")[2]):
                probe = name.removesuffix("n_of")
                sides = [(w @ c[f"{probe}right_{s}"], w @ c[f"{probe}n_{s}"]) for s in ("of", "rest")]
                # a resample may hold no document with the class: the other classes speak for it
                rates = [np.divide(right, n, out=np.full_like(n, np.nan), where=n > 0) for right, n in sides]
                by_label.setdefault(name.split("/")[2], []).append(np.mean(rates, axis=0))
        for name, of_classes in by_label.items():
            if np.isnan(of_classes).all(axis=0).any():
                raise ValueError(
                    f"so few documents hold examples of label {name!r} that a resample of them has none; give `test`"
                    " more tokens, or leave probes out of this suite"
                )
        return np.mean([np.nanmean(of_classes, axis=0) for of_classes in by_label.values()], axis=0)

    return value


PROBING = {
    f"probe_{'all' if k == DENSE else f'k{k}'}{'' if label is None else f'_{label}'}": Metric(
        "balanced accuracy", +1, 1, _probed(k, label), SHARE
    )
    for k in (*KS, DENSE)
    for label in (None, *LABELS)
}
KNOWN = METRICS | PROBING


def counted(metric: str) -> str:
    """The column that holds what a metric is a mean over."""
    if metric in PROBING:
        return f"n_{metric.split('_', 2)[2]}" if metric.count("_") > 1 else "n_example"
    return "n_tok" if metric in RECONSTRUCTION else "n_pred"


# what the paper counts as cells: 8 pairs x 3 and 8 pairs x 2
COMPARED = ("mse_sum", "l0", "alive", "delta_ce", "loss_recovered_zero")
