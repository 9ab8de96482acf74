"""The teacher gate: is this the SAE that was published, and the one that sae_lens loads?"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rsae.sae.gates.relu import ReLU
from rsae.sae.model import LINEAR, SAE

Run = Callable[[Tensor], tuple[Tensor, Tensor]]  # x [n_tok, d_in] to (codes, x_hat)

# the two run the same weights on the same numbers: only the rounding of float32 may differ
AGREEMENT = 1e-3, 1e-4, 1e-4  # of l0, of the residual share, of delta_ce; relative where they exceed 1


NOTICEABLE = 0.02  # of explained variance: more than two ways to see the same site differ by


class Figures(NamedTuple):
    """What publishers state of an SAE."""

    l0: float  # features per token
    explained_variance: float  # 1 - pooled, mean-centred residual share
    delta_ce: float  # nats per predicted token, spliced minus clean


def codes_and_output(sae: SAE) -> Run:
    """Of a settled SAE."""

    def run(x: Tensor) -> tuple[Tensor, Tensor]:
        z = sae.encode(x)
        return z, sae.decode(z, x)

    return run


def peers_codes_and_output(peer: Any) -> Run:
    """Of sae_lens's object."""

    def run(x: Tensor) -> tuple[Tensor, Tensor]:
        z = peer.encode(x)
        return z, peer.decode(z)

    return run


@torch.no_grad()
def reconstruction(run: Run, chunks: Iterable[Tensor], mean: Tensor) -> tuple[float, float]:
    """(l0, explained variance) on ``chunks``, whose mean activation is ``mean`` [d_in]."""
    n_tok, active, error, spread = 0, 0, 0.0, 0.0
    for x in chunks:
        z, x_hat = run(x)
        n_tok += len(x)
        active += int((z != 0).sum())
        error += float((x - x_hat).double().square().sum())
        spread += float((x.double() - mean.to(x.device)).square().sum())
    if not spread > 0:
        raise ValueError(f"all {n_tok} activations are alike: no share of their variance can be explained; wrong hook?")
    return active / n_tok, 1 - error / spread


def fits_centred(sae: SAE, chunks: Sequence[Tensor]) -> tuple[float, float] | None:
    """The variance that an SAE explains of ``chunks`` as they are, and without each token's mean, where that is more.

    So an SAE was trained on a model whose writing weights were centred, and does not say so. None where it explains
    them as they are about as well.
    """
    explained = []
    for data in (chunks, [x - x.mean(1, keepdim=True) for x in chunks]):
        mean = torch.cat([x.double().sum(0, keepdim=True) for x in data]).sum(0) / sum(map(len, data))
        explained.append(reconstruction(codes_and_output(sae), data, mean)[1])
    return (explained[0], explained[1]) if explained[1] > explained[0] + NOTICEABLE else None


def misses(found: Figures, published: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The published figures that ``found`` leaves, as a person reads them."""
    return [
        f"{name} is {getattr(found, name):.4g}, published {figure['value']:g} ± {figure['within']:g}"
        for name, figure in published.items()
        if not abs(getattr(found, name) - figure["value"]) <= figure["within"]
    ]


def disagreements(found: Figures, peer: Figures) -> list[str]:
    """Where the settled SAE and sae_lens's differ by more than rounding."""
    sizes = peer.l0, 1 - peer.explained_variance, peer.delta_ce
    return [
        f"{name} is {a:.6g} here and {b:.6g} through sae_lens"
        for name, a, b, size, allowed in zip(Figures._fields, found, peer, sizes, AGREEMENT, strict=True)
        if not abs(a - b) <= allowed * max(1.0, abs(size))
    ]


def likely_cause(sae: SAE, chunks: list[Tensor], mean: Tensor, published: Mapping[str, Mapping[str, float]]) -> str:
    """Which single change of convention would meet the published l0 and explained variance."""
    wanted = {k: v for k, v in published.items() if k != "delta_ce"}
    for name, variant in _variants(sae).items():
        found = Figures(*reconstruction(codes_and_output(variant), chunks, mean), float("nan"))
        if wanted and not misses(found, wanted):
            return f"{name} would meet them: that is the likely cause"
    return (
        "neither another gate kind nor b_dec nor normalisation explains it: check BOS, `hook`,"
        " `center_writing_weights` and the text"
    )


def _variants(sae: SAE) -> dict[str, SAE]:
    def changed(**kwargs: Any) -> SAE:
        kept = {
            "gate": sae.gate,
            "apply_b_dec_to_input": sae.apply_b_dec_to_input,
            "normalize_activations": sae.normalize_activations,
        }
        return SAE(*(getattr(sae, n) for n in LINEAR), **(kept | kwargs))

    plain = sae.normalize_activations == "none"
    minus = sae.apply_b_dec_to_input
    return {
        f"{'not ' if minus else ''}subtracting b_dec before encoding": changed(apply_b_dec_to_input=not minus),
        f"normalize_activations: {'layer_norm' if plain else 'none'}": changed(
            normalize_activations="layer_norm" if plain else "none"
        ),
        "gate kind relu": changed(gate=ReLU()),
    }
