"""Every layout gives the function that its own trainer computes, and sae_lens agrees where it can."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from rsae.config.types import Kind
from rsae.sae import loading
from rsae.sae.loading.sae_lens_peer import gap, load_peer
from rsae.sae.model import SAE
from tests import checkpoints

D_IN, D_SAE, K = 16, 64, 4
W = checkpoints.tensors(D_IN, D_SAE)
X = W["b_dec"] + 2 * torch.randn(200, D_IN, generator=torch.Generator().manual_seed(1))


def codes(name, x):
    """dictionary_learning's ``encode`` of each class, written from its definition."""
    if name in ("AutoEncoderNew", "JumpReluAutoEncoder"):
        h = x @ W["W_enc"] + W["b_enc"]
    else:
        h = (x - W["b_dec"]) @ W["W_enc"] + W["b_enc"]
    match name:
        case "AutoEncoder" | "AutoEncoderNew":
            return torch.where(h > 0, h, 0)
        case "AutoEncoderTopK":
            kth = h.sort(dim=1, descending=True).values[:, K - 1 : K]
            return torch.where((h >= kth) & (h > 0), h, 0)
        case "BatchTopKSAE" | "MatryoshkaBatchTopKSAE":
            return torch.where(h > 0.5, h, 0)
        case _:
            return torch.where(h > W["threshold"], h, 0)


KINDS: dict[str, Kind] = {
    "AutoEncoder": "relu", "AutoEncoderNew": "relu", "AutoEncoderTopK": "topk", "BatchTopKSAE": "jumprelu",
    "MatryoshkaBatchTopKSAE": "jumprelu", "JumpReluAutoEncoder": "jumprelu",
}  # fmt: skip


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_dictionary_learning_folders_and_lone_checkpoints(tmp_path, name):
    folder = checkpoints.dictionary_learning(tmp_path / "sae", name, W, K)
    shutil.copy(folder / "ae.pt", tmp_path / "alone.pt")
    for path in (folder, tmp_path / "alone.pt"):
        sae = loading.load(path, KINDS[name], D_IN)
        close(sae.encode(X), codes(name, X))
        close(sae.decode(sae.encode(X), X), codes(name, X) @ W["W_dec"] + W["b_dec"])
    peer = load_peer(folder, "dictionary_learning", "this teacher")
    if name == "AutoEncoderNew":
        assert peer is None  # sae_lens looks for `bias` and finds none
    else:
        assert gap(loading.load(folder, KINDS[name], D_IN), peer, X) < 1e-5


def test_gemma_scope_does_not_subtract_b_dec(tmp_path):
    folder = checkpoints.gemma_scope(tmp_path / "layer_12/width_16k/average_l0_82", W)
    sae = loading.load(folder, "jumprelu", D_IN)
    h = X @ W["W_enc"] + W["b_enc"]
    close(sae.encode(X), torch.where(h > W["threshold"], h, 0))


def test_openais_gpt2_teacher_is_a_topk_behind_a_layer_norm(tmp_path):
    # as published: a standard SAE in name, its gate hidden in activation_fn_str
    hidden = {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}, "normalize_activations": "layer_norm"}
    folder = checkpoints.sae_lens_before_6(tmp_path / "v5_32k_layer_7.pt", W, **hidden)
    sae = loading.load(folder, "topk", D_IN)
    # each token centred and divided by its unbiased std, by hand
    mean = X.sum(1, keepdim=True) / D_IN
    std = ((X - mean).square().sum(1, keepdim=True) / (D_IN - 1)).sqrt()
    h = ((X - mean) / (std + 1e-5) - W["b_dec"]) @ W["W_enc"] + W["b_enc"]
    kth = h.sort(dim=1, descending=True).values[:, K - 1 : K]
    z = torch.where((h >= kth) & (h > 0), h, 0)
    close(sae.encode(X), z)
    close(sae.decode(z, X), (z @ W["W_dec"] + W["b_dec"]) * std + mean)
    assert gap(sae, load_peer(folder, "sae_lens", "this teacher"), X) < 1e-5
    with pytest.raises(ValueError, match=r"decode\(z, x\)"):
        sae.decode(z)


def test_a_normalising_sae_survives_saving_and_sae_lens_reads_it(tmp_path):
    from sae_lens import SAE as SaeLensSAE

    cfg = {"architecture": "topk", "k": K, "normalize_activations": "layer_norm"}
    sae = loading.load(checkpoints.sae_lens(tmp_path / "in", W, **cfg), "topk", D_IN)
    sae.save(tmp_path / "out", {})
    wanted = sae.decode(sae.encode(X), X)
    again = SAE.load(tmp_path / "out")
    close(again.decode(again.encode(X), X), wanted)
    close(SaeLensSAE.load_from_disk(tmp_path / "out")(X), wanted)
    other = again.with_gate(again.gate)
    close(other.decode(other.encode(X), X), wanted)


@pytest.mark.parametrize("subtracts", [True, False])
def test_scale_and_centring_of_the_input_are_folded(tmp_path, subtracts):
    name = "AutoEncoder" if subtracts else "AutoEncoderNew"
    mean, scale = torch.linspace(-1, 2, D_IN), 0.25
    path = tmp_path / "alone.pt"
    torch.save({**checkpoints.state_dict(name, W), "input_mean": mean, "input_scale": torch.tensor(scale)}, path)
    sae = loading.load(path, "relu", D_IN)
    z = codes(name, (X - mean) * scale)
    close(sae.encode(X), z)
    close(sae.decode(z), (z @ W["W_dec"] + W["b_dec"]) / scale + mean)


def test_an_expected_norm_needs_its_factor(tmp_path):
    folder = checkpoints.sae_lens(tmp_path / "sae", W, normalize_activations="expected_average_only_in")
    with pytest.raises(ValueError, match=r"state `stated\.input_scale`"):
        loading.load(folder, "relu", D_IN)
    sae = loading.load(folder, "relu", D_IN, stated={"input_scale": 0.5})
    close(sae.encode(X), codes("AutoEncoder", 0.5 * X))
    assert gap(sae, load_peer(folder, "sae_lens", "", input_scale=0.5), X) < 1e-5


def test_what_the_files_do_not_say_can_be_stated(tmp_path):
    path = tmp_path / "alone.pt"
    torch.save({k: W[k] for k in ("W_enc", "b_enc", "W_dec", "b_dec")}, path)
    sae = loading.load(path, "topk", D_IN, stated={"k": K, "apply_b_dec_to_input": False})
    h = X @ W["W_enc"] + W["b_enc"]
    kth = h.sort(dim=1, descending=True).values[:, K - 1 : K]
    close(sae.encode(X), torch.where((h >= kth) & (h > 0), h, 0))
    with pytest.raises(ValueError, match=r"state `stated\.k`"):
        loading.load(path, "topk", D_IN)


def test_an_upgrade_loads_every_layout_and_asks_for_what_no_file_says(tmp_path):
    """What ``rsae upgrade`` calls: without a configuration that says the kind."""
    for name, kind in KINDS.items():
        folder = checkpoints.dictionary_learning(tmp_path / name, name, W, K)
        alone = shutil.copy(folder / "ae.pt", tmp_path / f"{name}.pt")
        cases: list[tuple[Path, Kind | None]] = [(folder, None), (folder, kind), (Path(alone), kind)]
        for path, given in cases:
            close(loading.load_any(path, given)[0].encode(X), codes(name, X))
        with pytest.raises(ValueError, match=r"lone checkpoint.*give `kind` too"):
            loading.load_any(alone)
    with pytest.raises(ValueError, match="has a relu gate, and not topk"):
        loading.load_any(tmp_path / "AutoEncoder", "topk")
    scope = checkpoints.gemma_scope(tmp_path / "layer_12/width_16k/average_l0_82", W)
    close(loading.load_any(scope)[0].encode(X), loading.load(scope, "jumprelu", D_IN).encode(X))
    normed = checkpoints.sae_lens(tmp_path / "normed", W, normalize_activations="expected_average_only_in")
    with pytest.raises(ValueError, match=r"state `stated.input_scale`"):
        loading.load_any(normed)
    close(loading.load_any(normed, None, {"input_scale": 0.5})[0].encode(X), codes("AutoEncoder", 0.5 * X))
    bare = tmp_path / "bare.pt"
    torch.save({k: W[k] for k in ("W_enc", "b_enc", "W_dec", "b_dec")}, bare)
    stated = {"k": K, "apply_b_dec_to_input": True}
    close(loading.load_any(bare, "topk", stated)[0].encode(X), codes("AutoEncoderTopK", X))


def spoil(folder, **change):
    config = json.loads((folder / "config.json").read_text())
    config["trainer"] |= change
    (folder / "config.json").write_text(json.dumps(config))


class Harmful:
    def __reduce__(self):
        return (print, ("this must never be printed",))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda p: checkpoints.dictionary_learning(p, "GatedAutoEncoder", W), "Gated.*not yet supported"),
        (lambda p: spoil(p, dict_class="ProLUAutoEncoder"), "ProLU.*not yet supported"),
        (lambda p: spoil(p, dict_class="Crosscoder"), "class Crosscoder; supported are AutoEncoder"),
        (lambda p: torch.save({"harm": Harmful()}, p / "ae.pt"), "whatever else it holds is not run"),
        (lambda p: (p / "ae.pt").write_bytes((p / "ae.pt").read_bytes()[:500]), "truncated or altered"),
        (lambda p: (p / "ae.pt").unlink(), "missing"),
        (lambda p: (p / "config.json").write_text("{}"), "no readable `trainer`"),
        (lambda p: torch.save({"W_enc": W["W_enc"]}, p / "ae.pt"), "lacks b_enc, W_dec, b_dec"),
        (
            lambda p: torch.save({**checkpoints.state_dict("BatchTopKSAE", W), "x": W["b_dec"]}, p / "ae.pt"),
            "layout: x",
        ),
        (lambda p: torch.save(checkpoints.state_dict("BatchTopKSAE", W, threshold=-1.0), p / "ae.pt"), "never set"),
        (lambda p: spoil(p, dict_class="AutoEncoder"), "relu gate, the config says kind: jumprelu"),
        (
            lambda p: torch.save(
                {**checkpoints.state_dict("BatchTopKSAE", W), "encoder.weight": W["W_enc"]}, p / "ae.pt"
            ),
            "transposed",
        ),
    ],
)
def test_what_cannot_be_loaded_is_refused_by_name(tmp_path, capfd, damage, says):
    folder = checkpoints.dictionary_learning(tmp_path / "sae", "BatchTopKSAE", W)
    damage(folder)
    with pytest.raises(ValueError, match=says) as caught:
        loading.load(folder, "jumprelu", D_IN)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "never be printed" not in capfd.readouterr().out


def test_gated_and_whitened_sae_lens_folders_are_refused_by_name(tmp_path):
    folder = checkpoints.sae_lens(tmp_path / "gated", W, architecture="gated")
    biases = dict.fromkeys(("b_gate", "b_mag", "r_mag"))
    save_file(
        {k: W[k].contiguous() for k in ("W_enc", "W_dec", "b_dec")} | {k: W["b_enc"].clone() for k in biases},
        folder / "sae_weights.safetensors",
    )
    with pytest.raises(ValueError, match=r"Gated.*not yet supported"):
        loading.load(folder, "relu", D_IN)
    folder = checkpoints.sae_lens(tmp_path / "white", W, normalize_activations="covariance_whitening")
    with pytest.raises(ValueError, match="covariance_whitening"):
        loading.load(folder, "relu", D_IN)
