"""The same files through sae_lens's own loaders: the second opinion on every teacher."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rsae.sae.loading.sae_lens import open_sae
from rsae.sae.model import SAE


def load_peer(
    path: Path, layout: str, what: str, *, repo: str | None = None, folder: str | None = None, input_scale: float = 1.0
) -> Any:
    """sae_lens's SAE object, or None where sae_lens has no loader for what is on disk.

    Gemma Scope's shape and hook are inferred by sae_lens from the names of repo and folder, so a
    copy without those names has no peer; neither has a lone checkpoint file.
    """
    from sae_lens.loading import pretrained_sae_loaders as loaders

    if layout == "sae_lens":
        peer = open_sae(path, what)
        if peer.cfg.normalize_activations == "expected_average_only_in":
            peer.fold_activation_norm_scaling_factor(input_scale)
        return peer
    if layout == "gemma_scope" and repo and folder:
        return _through(loaders.gemma_2_sae_huggingface_loader, path, repo, folder)
    if layout == "dictionary_learning" and path.is_dir():
        return _through(
            loaders.dictionary_learning_sae_huggingface_loader_1, path, repo or "local/sae", folder or "sae"
        )
    return None


def _through(converter: Any, path: Path, repo: str, folder: str) -> Any:
    from sae_lens import SAE as SaeLensSAE

    with warnings.catch_warnings(), _reading_from(path):
        warnings.simplefilter("ignore")
        try:
            return SaeLensSAE.from_pretrained(repo, folder, converter=converter)
        except (KeyError, ValueError, RuntimeError, AttributeError):  # a class that sae_lens cannot hold
            return None


@contextmanager
def _reading_from(path: Path) -> Iterator[None]:
    """Let sae_lens's hub loaders open the verified files in ``path``.

    sae_lens takes no revision: left alone it would read whatever ``main`` is today.
    """
    from sae_lens.loading import pretrained_sae_loaders as loaders

    original = loaders.hf_hub_download
    loaders.hf_hub_download = lambda *_, filename, **__: str(path / Path(filename).name)  # type: ignore[assignment]
    try:
        yield
    finally:
        loaders.hf_hub_download = original


@torch.no_grad()
def gap(settled: SAE, peer: Any, x: Tensor) -> float:
    """Largest difference of the two reconstructions of ``x``, relative to the largest of them."""
    ours, theirs = settled.decode(settled.encode(x), x), peer.decode(peer.encode(x))
    return float((ours - theirs).abs().max() / theirs.abs().max())
