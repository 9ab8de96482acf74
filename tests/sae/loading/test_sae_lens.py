"""Teachers in sae_lens's own layout, whole and damaged in the ways that people meet."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rsae.sae import loading
from rsae.sae.model import SAE

EMBEDDED = Path("assets/embedded/teachers")


@pytest.fixture
def copied(tmp_path):
    def copy(kind="relu") -> Path:
        return Path(shutil.copytree(EMBEDDED / kind, tmp_path / kind))

    return copy


@pytest.mark.parametrize("kind", ["relu", "jumprelu", "topk"])
def test_a_settled_teacher_is_the_same_function_and_survives_saving(tmp_path, kind):
    from sae_lens import SAE as SaeLensSAE

    theirs = SaeLensSAE.load_from_disk(EMBEDDED / kind)
    ours = loading.load(EMBEDDED / kind, kind, 128)
    ours.save(tmp_path / "sae", {})
    x = theirs.b_dec + torch.randn(100, 128, generator=torch.Generator().manual_seed(0))
    for sae in (ours, SAE.load(tmp_path / "sae"), SaeLensSAE.load_from_disk(tmp_path / "sae")):
        z = sae.encode(x)
        torch.testing.assert_close(z, theirs.encode(x), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(sae.decode(z), theirs(x), rtol=1e-4, atol=1e-4)


def test_a_teacher_whose_selection_is_rescaled_is_folded(copied):
    from sae_lens import SAE as SaeLensSAE

    path = copied("topk")
    cfg = json.loads((path / "cfg.json").read_text()) | {"rescale_acts_by_decoder_norm": True}
    (path / "cfg.json").write_text(json.dumps(cfg))
    weights = load_file(path / "sae_weights.safetensors")
    weights["W_dec"] = weights["W_dec"] * torch.linspace(0.5, 2, 2048)[:, None]
    save_file(weights, path / "sae_weights.safetensors")
    x = torch.randn(50, 128)
    ours, theirs = loading.load(path, "topk", 128), SaeLensSAE.load_from_disk(path)
    torch.testing.assert_close(ours.decode(ours.encode(x)), theirs(x), rtol=1e-4, atol=1e-4)


def reweigh(path, change):
    weights = load_file(path / "sae_weights.safetensors")
    change(weights)
    save_file({k: v.contiguous() for k, v in weights.items()}, path / "sae_weights.safetensors")


def reconfigure(path, **keys):
    cfg = json.loads((path / "cfg.json").read_text())
    cfg.pop("sha256", None)  # as another writer would have written it, who seals nothing
    (path / "cfg.json").write_text(json.dumps(cfg | keys))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda p: reweigh(p, lambda w: w.update(W_dec=w["W_dec"].T)), "transposed"),
        (lambda p: reweigh(p, lambda w: w.pop("b_enc")), "b_enc"),
        (lambda p: reweigh(p, lambda w: w["W_enc"].mul_(float("nan"))), "NaN"),
        (lambda p: (p / "sae_weights.safetensors").write_bytes(b"\0" * 100), "truncated or altered"),
        (
            lambda p: (p / "sae_weights.safetensors").write_bytes((p / "sae_weights.safetensors").read_bytes()[:-9]),
            "truncated or altered",
        ),
        (lambda p: (p / "sae_weights.safetensors").unlink(), "not a readable"),
        (lambda p: (p / "cfg.json").write_text("{"), "not a readable"),
    ],
)
def test_a_damaged_teacher_is_refused_in_one_sentence(copied, damage, says):
    path = copied()
    damage(path)
    with pytest.raises(ValueError, match=says) as caught:
        loading.load(path, "relu", 128)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_gate_and_another_width_are_refused():
    with pytest.raises(ValueError, match="topk gate, the config says kind: relu"):
        loading.load(EMBEDDED / "topk", "relu", 128)
    with pytest.raises(ValueError, match="d_in=128, the activations have 768"):
        loading.load(EMBEDDED / "relu", "relu", 768)


def test_our_own_loader_names_what_is_wrong(tmp_path):
    sae = loading.load(EMBEDDED / "relu", "relu", 128)
    folder = tmp_path / "sae"
    sae.save(folder, {})
    reconfigure(folder, d_sae=5)
    with pytest.raises(ValueError, match=r"cfg\.json says 128 x 5"):
        SAE.load(folder)
    (folder / "cfg.json").unlink()
    with pytest.raises(ValueError, match=r"cfg\.json is missing"):
        SAE.load(folder)
    with torch.no_grad():
        sae.W_dec[0, 0] = float("inf")
    with pytest.raises(ValueError, match="W_dec is not finite"):
        sae.save(tmp_path / "other", {})
    assert not (tmp_path / "other").exists()
