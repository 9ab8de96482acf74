"""The loader of sixty lines reads what the package saves, and needs neither package nor sae_lens."""

import ast
from pathlib import Path

import pytest
import torch

from rsae import standalone
from rsae.sae.gates.jumprelu import JumpReLU
from rsae.sae.gates.relu import ReLU
from rsae.sae.gates.topk import TopK
from tests.upgraded import INPUTS, PARTS, activations, make, scales

X = activations()
OWN = {"relu": ReLU, "jumprelu": lambda: JumpReLU(scales(4)), "topk": lambda: TopK(5)}  # gates that sae_lens has


@pytest.mark.parametrize("how", INPUTS)
@pytest.mark.parametrize("name", [*PARTS, *OWN])
def test_it_computes_what_the_package_computes(tmp_path, name, how):
    sae = make(name, how) if name in PARTS else make("rational", how).with_gate(OWN[name]())
    sae.save(tmp_path / "sae", {})
    alone = standalone.SAE(tmp_path / "sae")
    if name.startswith(("steps", "pursuit")):
        with pytest.raises(ValueError, match=r"'(steps|pursuit)' is a control arm"):
            alone.encode(X)
        return
    z = sae.encode(X)
    for codes, wanted in (("raw", z), ("hard", sae.hard(z))):
        found = alone.encode(X, codes)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(alone.decode(found, X), sae.decode(wanted, X), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(torch.as_tensor(alone.encode(X)).bool(), sae.hard(z).bool())


def test_it_is_one_short_file_that_imports_three_packages():
    path = Path("rsae/standalone.py")
    assert len(path.read_text().splitlines()) <= 60
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
    assert found == {"json", "pathlib", "torch", "safetensors.torch"}
