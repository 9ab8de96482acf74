"""Shapes are checked at run time: every jaxtyping signature of the package is enforced in tests."""

import os
import sys

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from jaxtyping import install_import_hook

install_import_hook("rsae", "beartype.beartype")

import pytest  # noqa: E402
import torch  # noqa: E402

from rsae.sae.model import SAE  # noqa: E402


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _network_as_found():
    """A test that finds no network leaves its whole process offline; the next one starts as if it came first."""
    yield
    network = sys.modules.get("rsae.data.hub.network")
    if network is not None:
        network.back()


@pytest.fixture
def make_sae():
    """Random SAE around a gate; unit decoder rows, activations of width d_in."""

    def make(gate, d_in: int = 8, d_sae: int = 32, seed: int = 0, **kwargs) -> SAE:
        g = torch.Generator().manual_seed(seed)
        W_dec = torch.randn(d_sae, d_in, generator=g)
        W_dec = W_dec / W_dec.norm(dim=1, keepdim=True)
        b_enc = 0.1 * torch.randn(d_sae, generator=g)
        return SAE(W_dec.T.clone(), b_enc, W_dec, torch.randn(d_in, generator=g), gate, **kwargs)

    return make
