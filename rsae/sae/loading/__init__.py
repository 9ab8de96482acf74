"""Load somebody's SAE and settle every strangeness of its layout into the one skeleton."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rsae.config.layouts import Layout, detect
from rsae.config.types import Kind
from rsae.runtime.caller import word
from rsae.runtime.files import short
from rsae.sae.loading import dictionary_learning, gemma_scope, sae_lens, sparsify
from rsae.sae.loading.sites import check_site, site_of
from rsae.sae.loading.weights import Weights, settle, with_stated
from rsae.sae.model import SAE


def load(
    path: Path | str,
    kind: Kind,
    d_in: int,
    bandwidth: float = 0.05,
    layout: Layout | None = None,
    stated: Mapping[str, Any] | None = None,
    hook: str | None = None,
) -> SAE:
    """Load a local folder or checkpoint of any supported layout.

    ``stated`` holds fields of :class:`Weights` that the owner knows and the files do not say (``k``,
    ``apply_b_dec_to_input``, ``normalize_activations``, ``input_scale``). ``hook`` is the site that is harvested.

    Raises:
        ValueError: unreadable, truncated or transposed weights; another gate than ``kind``; another
            width than the host's ``d_in``, another site than ``hook``; a gate or normalisation that is not supported.
    """
    path, what = Path(path), f"teacher {path}"
    if not path.exists():
        raise ValueError(f"{what} does not exist; it must be a folder or a checkpoint file")
    weights = with_stated(_read(path, layout or detect(path), kind, what), stated, what)
    if weights.kind != kind:
        raise ValueError(f"{what} has a {weights.kind} gate, the config says kind: {kind}; correct one of them")
    if hook is not None:
        check_site(weights.hook, hook, what)
    sae = _checked(weights, what, bandwidth)
    if sae.d_in != d_in:
        raise ValueError(f"{what} expects d_in={sae.d_in}, the activations have {d_in}; wrong hook or host?")
    return sae


def settled(
    source: Any,
    what: str = "the given SAE",
    bandwidth: float = 0.05,
    stated: Mapping[str, Any] | None = None,
) -> SAE:
    """sae_lens's object ``source`` as a teacher, the same function; ``stated`` as for :func:`load`.

    Raises:
        ValueError: a gate or a normalisation that is not supported, or weights that are not finite.
    """
    return _checked(with_stated(sae_lens.weights(source, what), stated, what), what, bandwidth)


def load_any(
    path: Path | str, kind: Kind | None = None, stated: Mapping[str, Any] | None = None
) -> tuple[SAE, dict[str, Any]]:
    """A local folder or checkpoint of any supported layout, and the owner's metadata where there is some.

    ``kind`` is for a lone checkpoint, which does not say its gate; ``stated`` as for :func:`load`.

    Raises:
        ValueError: see :func:`load`; or a lone checkpoint without a kind.
    """
    path, what, metadata = Path(path), f"teacher {path}", {}
    layout = detect(path)
    if layout == "sae_lens":
        opened = sae_lens.open_sae(path, what)
        weights, metadata = sae_lens.weights(opened, what), opened.cfg.metadata.to_dict()
    elif layout == "dictionary_learning" and path.is_file() and kind is None:
        raise ValueError(f"{what} is a lone checkpoint, which does not say its gate; give `{word('kind')}` too")
    else:
        weights = _read(path, layout, kind, what)
    if kind is not None and weights.kind != kind:
        raise ValueError(f"{what} has a {weights.kind} gate, and not {kind}; leave `{word('kind')}` out")
    if weights.hook is not None:
        metadata["hook_name"] = site_of(weights.hook) or weights.hook
    return _checked(with_stated(weights, stated, what), what, 0.05), metadata


def _checked(weights: Weights, what: str, bandwidth: float) -> SAE:
    if weights.input_scale != weights.input_scale:
        raise ValueError(
            f"{what} was trained on activations scaled to an expected norm of sqrt(d_in), and the factor is not in its"
            f" files; state `{word('input_scale')}`"
        )
    return settle(weights, what, bandwidth)


def _read(path: Path, layout: Layout, kind: Kind | None, what: str) -> Weights:
    try:
        match layout:
            case "sae_lens":
                return sae_lens.read(path, what)
            case "gemma_scope" | "gemma_scope_2":
                return gemma_scope.read(path, what)
            case "sparsify":
                return sparsify.read(path, what)
            case _:
                return dictionary_learning.read(path, what, kind)
    except (AttributeError, TypeError, OverflowError) as error:  # a setting of another type than its writer's
        raise ValueError(f"{what}: a setting is of the wrong type ({short(error)}); fetch it again") from error
