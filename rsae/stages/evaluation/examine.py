"""What the features of a pair look like, and whether they stay the teacher's: everything the report draws of them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rsae.data.activations.batches import CHUNK
from rsae.data.activations.shards import Shards
from rsae.data.text import tokens
from rsae.data.text.tokenizer import load_tokenizer
from rsae.evaluate import densities
from rsae.evaluate.densities import DENSITIES, STRENGTHS, Portrait
from rsae.evaluate.stability import FEWEST, STRONGEST, Stability, Strongest, Together, compare
from rsae.evaluate.top_contexts import Text, contexts
from rsae.runtime.device import set_up_torch
from rsae.runtime.files import sealed, write_json
from rsae.runtime.progress import progress
from rsae.sae.model import SAE

EXAMINED = 40_000  # tokens at most: pictures need no more
POINTS = 240  # of a gate's curve
BINS = 60  # of pre-activations
VIEWS = 3  # features of each group that are shown with their contexts


def run(
    token_file: Path, host: Path, test: Path, saes: Mapping[str, Path], out: Path, *, viewed: Sequence[str]
) -> None:
    """``saes`` maps each arm, the teacher first, to one SAE; ``viewed`` are the arms shown feature by feature.

    Raises:
        ValueError: ``test`` was not harvested from ``token_file``.
    """
    set_up_torch()
    shards, text = Shards(test), Text.of(tokens.read(token_file))
    if shards.n_tok != len(text.ids):
        raise ValueError(
            f"{test} has {shards.n_tok} activations, {token_file} {len(text.ids)} tokens; harvest it again"
        )
    x = torch.from_numpy(shards.load().x[:EXAMINED].astype(np.float32))
    text = text._replace(ids=text.ids[:EXAMINED], document=text.document[:EXAMINED])
    loaded = {arm: SAE.load(folder) for arm, folder in saes.items()}
    teacher = loaded["teacher"]
    looks = {arm: Portrait(sae) for arm, sae in loaded.items()}
    strongest = {arm: Strongest(sae.d_sae) for arm, sae in loaded.items()}
    together = {arm: Together(sae.d_sae) for arm, sae in loaded.items() if arm != "teacher"}
    parts = x.split(CHUNK)
    for part in progress(parts, len(parts), "features"):
        first = _codes(teacher, part)
        for arm, sae in loaded.items():
            raw, hard = first if arm == "teacher" else _codes(sae, part)
            looks[arm].add(raw, hard)
            strongest[arm].add(hard)
            if arm in together:
                together[arm].add(first[1], hard)
    found = {
        arm: compare(
            (teacher.W_dec, loaded[arm].W_dec), t, (strongest["teacher"], strongest[arm]), looks["teacher"].active
        )
        for arm, t in together.items()
    }
    vocabulary = load_tokenizer(host)

    def word(token: int) -> str:
        return str(vocabulary.decode([token]))

    views = {
        arm: [
            _view(feature, group, row, {a: loaded[a] for a in ("teacher", arm)}, looks, strongest, x, text, word)
            for feature, group, row in _chosen(found[arm])
        ]
        for arm in viewed
    }
    write_json(
        out,
        sealed(
            {
                "n_tok": len(x),
                "compared": len(next(iter(found.values())).feature) if found else 0,
                "fewest": FEWEST,
                "strongest": STRONGEST,
                "strengths": STRENGTHS.tolist(),
                "densities": DENSITIES.tolist(),
                "arms": {arm: look.summary() for arm, look in looks.items()},
                "gate": _gates(loaded, _typical(looks["teacher"]), x),
                "stability": {arm: _quantiles(s) for arm, s in found.items()},
                "views": views,
            }
        ),
    )


@torch.no_grad()
def _codes(sae: SAE, x: Tensor) -> tuple[Tensor, Tensor]:
    raw = sae.encode(x)
    return raw, sae.hard(raw)


def _typical(look: Portrait) -> int:
    """The teacher's feature of median density among those that are compared; of all, where there are none."""
    candidates = np.flatnonzero(look.active.numpy() >= FEWEST)
    candidates = candidates if len(candidates) else np.arange(len(look.active))
    return int(candidates[np.argsort(look.density[candidates])[len(candidates) // 2]])


@torch.no_grad()
def _gates(loaded: Mapping[str, SAE], feature: int, x: Tensor) -> dict[str, Any]:
    """One feature's codes against its pre-activations in every arm: exact where the gate has a curve, else measured."""
    h = {arm: densities.preactivation(sae, x, feature) for arm, sae in loaded.items()}
    low = min(float(v.quantile(0.001)) for v in h.values())
    high = max(float(v.max()) for v in h.values())
    edges, points = np.linspace(low, high, BINS + 1), torch.linspace(low, high, POINTS)
    arms = {}
    for arm, sae in loaded.items():
        exact = densities.elementwise(sae)
        z = h[arm] if exact else torch.cat([sae.encode(part)[:, feature] for part in x.split(CHUNK)])
        counts, means = densities.binned(h[arm], z, edges)
        codes = densities.curve(sae, feature, points).tolist() if exact else means
        arms[arm] = {"counts": counts, "codes": codes, "exact": exact}
    return {"feature": feature, "points": points.tolist(), "edges": edges.tolist(), "arms": arms}


def _quantiles(s: Stability) -> dict[str, list[float]]:
    """0% to 100% over features, in steps of one percent."""
    if not len(s.feature):
        return {}
    return {
        name: np.quantile(getattr(s, name), np.linspace(0, 1, 101)).tolist()
        for name in ("cosine", "correlation", "overlap")
    }


def _chosen(s: Stability) -> list[tuple[int, str, dict[str, float]]]:
    """(feature, group, its figures): those that changed most, the middle, those that changed least, by correlation."""
    order, n = np.argsort(s.correlation, kind="stable"), len(s.feature)
    middle = max(0, n // 2 - VIEWS // 2)
    groups = {
        "changed most": order[:VIEWS],
        "in the middle": order[middle : middle + VIEWS],
        "changed least": order[max(0, n - VIEWS) :][::-1],
    }
    return [
        (
            int(s.feature[i]),
            group,
            {name: float(getattr(s, name)[i]) for name in ("cosine", "correlation", "overlap")},
        )
        for group, members in groups.items()
        for i in members
    ]


def _view(
    feature: int,
    group: str,
    figures: Mapping[str, float],
    sides: Mapping[str, SAE],
    looks: Mapping[str, Portrait],
    strongest: Mapping[str, Strongest],
    x: Tensor,
    text: Text,
    word: Callable[[int], str],
) -> dict[str, Any]:
    return {
        "feature": feature,
        "group": group,
        **figures,
        "sides": {
            arm: {
                "density": float(looks[arm].density[feature]),
                "largest": float(strongest[arm].values[feature].max()),
                "contexts": contexts(sae, x, text, feature, strongest[arm].found()[feature].tolist(), word),
            }
            for arm, sae in sides.items()
        },
    }
