"""Load somebody's SAE and settle every strangeness of its format into the one skeleton."""

import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from rsae.gates.base import Gate
from rsae.gates.jumprelu import JumpReLU
from rsae.gates.relu import ReLU
from rsae.gates.topk import TopK
from rsae.sae import SAE

KINDS = {"relu": "standard", "jumprelu": "jumprelu", "topk": "topk"}
AGREEMENT = 1e-4  # largest |x_hat difference| to sae_lens, relative to the largest |x_hat|


def load(path: Path | str, kind: str, d_in: int, bandwidth: float = 0.05) -> SAE:
    """Load a sae_lens folder through sae_lens itself; the settled SAE must agree with it.

    Raises:
        ValueError: unreadable, truncated or transposed weights; another gate than ``kind``;
            another width than the host's ``d_in``; a normalisation that is not supported.
    """
    # slow to import, so only the stage that reads a foreign format pays for it
    from sae_lens import SAE as SaeLensSAE

    what = f"teacher {path}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            source: Any = SaeLensSAE.load_from_disk(path, device="cpu")
    except SafetensorError as error:
        raise ValueError(f"{what}: the weights are truncated or altered ({error}); fetch them again") from error
    except (OSError, KeyError, ValueError, TypeError, AssertionError) as error:
        raise ValueError(f"{what}: not a readable sae_lens folder ({error})") from error
    except RuntimeError as error:  # torch's word for shapes and names that do not fit the config
        detail = " ".join(str(error).split())
        raise ValueError(f"{what}: weights do not fit cfg.json (transposed? missing?): {detail}") from error
    architecture = source.cfg.architecture()
    if architecture != KINDS[kind]:
        raise ValueError(f"{what} has a {architecture} gate, the config says kind: {kind}; correct one of them")
    if source.cfg.d_in != d_in:
        raise ValueError(f"{what} expects d_in={source.cfg.d_in}, the activations have {d_in}; wrong hook or host?")
    if source.cfg.normalize_activations != "none":
        raise ValueError(
            f"{what} normalises its input ({source.cfg.normalize_activations}); fold it into the weights first"
        )
    if kind == "topk" and source.cfg.rescale_acts_by_decoder_norm:
        source.fold_W_dec_norm()  # selection by |z| ‖W_dec‖ becomes selection by |z|
        source.cfg.rescale_acts_by_decoder_norm = False
    gate: Gate
    match kind:
        case "relu":
            gate = ReLU()
        case "jumprelu":
            gate = JumpReLU(source.threshold, bandwidth)
        case _:
            gate = TopK(source.cfg.k)
    settled = SAE(
        source.W_enc,
        source.b_enc,
        source.W_dec,
        source.b_dec,
        gate,
        apply_b_dec_to_input=source.cfg.apply_b_dec_to_input,
    )
    _agree(settled, source, what)
    return settled


@torch.no_grad()
def _agree(settled: SAE, source: Any, what: str) -> None:
    for name, tensor in settled.named_parameters():
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{what}: {name} holds NaN or infinity")
    generator = torch.Generator().manual_seed(0)
    x = settled.b_dec + torch.randn(64, settled.d_in, generator=generator) * settled.W_dec.norm(dim=1).mean() * 3
    ours, theirs = settled.decode(settled.encode(x)), source.decode(source.encode(x))
    gap = float((ours - theirs).abs().max() / theirs.abs().max())
    if not gap < AGREEMENT:
        raise ValueError(f"{what}: settled weights differ from sae_lens's own output by {gap:.1e} (relative)")
