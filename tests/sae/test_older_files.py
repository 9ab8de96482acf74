"""SAEs that an earlier version wrote, read by this one: the same codes, the same output."""

import base64
import json
from pathlib import Path

import pytest
import torch
from sae_lens import SAE as SaeLensSAE

import rsae.saelens
from rsae import standalone
from rsae.sae.model import CFG, SAE, WEIGHTS

# three SAEs with their codes and output on four activations, written and computed by commit 0b6b831
WRITTEN = json.loads((Path(__file__).parent / "written_by_0b6b831.json").read_text())
X = torch.tensor(WRITTEN["x"])


@pytest.fixture(params=["rational", "resolvent", "jumprelu"])
def folder(request, tmp_path):
    written = WRITTEN[request.param]
    (tmp_path / CFG).write_text(json.dumps(written["cfg"], indent=2) + "\n")
    (tmp_path / WEIGHTS).write_bytes(base64.b64decode(written["weights"]))
    return tmp_path, torch.tensor(written["codes"]), torch.tensor(written["x_hat"])


@torch.no_grad()
def test_by_this_project(folder):
    place, codes, x_hat = folder
    sae = SAE.load(place)
    hard = sae.hard(sae.encode(X))
    torch.testing.assert_close(hard, codes)
    torch.testing.assert_close(sae.decode(hard, X), x_hat)


@torch.no_grad()
def test_by_sae_lens(folder):
    place, codes, x_hat = folder
    assert rsae.saelens  # teaches sae_lens the architecture that the files name
    sae = SaeLensSAE.load_from_disk(str(place))
    torch.testing.assert_close(sae.encode(X), codes)
    torch.testing.assert_close(sae.decode(codes), x_hat)


@torch.no_grad()
def test_by_plain_torch(folder):
    place, codes, x_hat = folder
    sae = standalone.SAE(place)
    torch.testing.assert_close(sae.encode(X), codes)
    torch.testing.assert_close(sae.decode(codes, X), x_hat)
