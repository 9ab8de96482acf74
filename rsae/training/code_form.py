"""Whether a fine-tune's step goes over all codes or over the active ones alone.

The sparse form needs exact zeros, whole tensors and no graph of torch's compiler: an SAE with a smooth gate, one that
processes share (:mod:`rsae.training.parallel`) and a compiled step (:mod:`rsae.training.compiled_step`) stay dense.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import get_args

import torch
from torch import Tensor

from rsae.sae.model import SAE
from rsae.training.objectives import Form

SHARE = 0.1  # of codes active, at most: a step takes two thirds of the dense one's time there, more at twice as many
TOKENS = 512  # of a batch that are looked at


def wanted() -> str:
    """What ``RSAE_CODES`` says.

    Raises:
        ValueError: it is no form of codes.
    """
    said = os.environ.get("RSAE_CODES", "")
    if said not in ("", *get_args(Form)):
        raise ValueError(f"RSAE_CODES must be dense or sparse, or left unset for the faster form; got {said!r}")
    return said


@torch.no_grad()
def chosen(sae: SAE, x: Tensor, able: bool) -> Form:
    """The faster form on batches like ``x`` [n_tok, d_in], or the one that is wanted, and what the log says of it.

    On CUDA nothing was measured: dense unless it is asked for.
    """
    if not able or not sae.gate.exact_zeros or wanted() == "dense":
        return "dense"
    share = sae.gate.places(sae.preactivations(x[:TOKENS])).share
    faster = "sparse" if share <= SHARE and x.device.type == "cpu" else "dense"
    form: Form = "sparse" if wanted() == "sparse" else faster
    print(f"{share:.2%} of codes are active: steps are {form}", flush=True)
    return form


def lay_out(sae: SAE, columns: bool) -> None:
    """Have W_enc lie in columns, as the sparse form wants it, or in rows; no number changes.

    There gradients come feature by feature.
    """
    if sae.W_enc.is_contiguous() == columns:
        sae.W_enc.data = sae.W_enc.data.T.contiguous().T if columns else sae.W_enc.data.contiguous()


@contextmanager
def in_rows(p: Tensor, optimiser: torch.optim.Optimizer) -> Iterator[None]:
    """While a fused optimiser steps, a matrix that lies in columns is its transpose, with gradient and moments.

    torch's kernel copies what is not contiguous there and back, a sixth of a step at 768 x 24576.
    """
    _turn(p, optimiser)
    yield
    _turn(p, optimiser)


def _turn(p: Tensor, optimiser: torch.optim.Optimizer) -> None:
    gradient, p.grad = p.grad, None
    p.data = p.data.T
    p.grad = None if gradient is None else gradient.T
    state = optimiser.state[p]
    state |= {name: value.T for name, value in state.items() if value.ndim == 2}
