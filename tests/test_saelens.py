"""An upgraded SAE comes back in sae_lens 6.54 as the same function, whatever its gate."""

import json
import subprocess
import sys
import warnings
from typing import Any

import pytest
import torch
from sae_lens import SAE as SaeLensSAE
from safetensors.torch import load_file, save_file

import rsae.saelens
from rsae import standalone
from rsae.sae.model import SAE
from tests.upgraded import D_IN, D_SAE, FORM, INPUTS, PARTS, activations, make

X = activations()


def loaded(folder, **kwargs) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return SaeLensSAE.load_from_disk(folder, **kwargs)


def close(a, b, tolerance=1e-5):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.fixture(params=PARTS)
def name(request):
    return request.param


@pytest.mark.parametrize("how", INPUTS)
def test_it_is_the_same_function_on_hard_and_on_raw_codes(tmp_path, name, how):
    sae = make(name, how)
    sae.save(tmp_path / "sae", {"hook_name": "blocks.1.hook_resid_post"})
    theirs = loaded(tmp_path / "sae")
    assert theirs.cfg.metadata.hook_name == "blocks.1.hook_resid_post"
    batch = X.reshape(4, 15, D_IN)  # sae_lens hands over sequences
    z, hard = sae.encode(X), sae.hard(sae.encode(X))
    close(theirs.encode(batch).reshape(-1, D_SAE), hard)
    close(theirs(batch).reshape(-1, D_IN), sae.decode(hard, X))
    assert torch.equal(theirs.encode(batch).reshape(-1, D_SAE) != 0, hard != 0)  # what sae_lens.evals counts
    if sae.eps > 0:
        assert 0 < int((hard != 0).sum()) < int((z != 0).sum())
    theirs.cfg.codes = "raw"
    close(theirs(batch).reshape(-1, D_IN), sae.decode(z, X))


def test_saved_by_sae_lens_it_comes_back_in_both(tmp_path, name):
    sae = make(name)
    sae.save(tmp_path / "ours", {"arm": "some"})
    declared = set(rsae.saelens.RSAEConfig.__dataclass_fields__) | {"architecture"}
    dropped = set(json.loads((tmp_path / "ours/cfg.json").read_text())) - declared
    assert dropped == {"sha256", "weights_sha256"}  # of the bytes that we wrote: another writer's differ
    first = loaded(tmp_path / "ours")
    first.save_model(tmp_path / "theirs")
    assert set(load_file(tmp_path / "theirs/sae_weights.safetensors")) == set(sae.tensors())
    again, back = loaded(tmp_path / "theirs"), SAE.load(tmp_path / "theirs")
    # scales are held as logarithms: one more rounding each way
    close(again.encode(X), first.encode(X))
    close(back.hard(back.encode(X)), first.encode(X))
    assert again.cfg.metadata.arm == "some"


def test_shapes_follow_from_the_configuration_alone(tmp_path, name):
    sae = make(name)
    sae.save(tmp_path / "sae", {})
    cfg = json.loads((tmp_path / "sae/cfg.json").read_text())
    empty = SaeLensSAE.from_dict({**cfg, "device": "meta"})
    assert {p.device.type for p in empty.parameters()} == {"meta"}
    filled = loaded(tmp_path / "sae")
    assert {k: v.shape for k, v in empty.state_dict().items()} == {k: v.shape for k, v in filled.state_dict().items()}
    weights = load_file(tmp_path / "sae/sae_weights.safetensors")
    odd = [k for k in weights if k not in ("W_enc", "b_enc", "W_dec", "b_dec")][-1:] or ["b_enc"]
    weights[odd[0]] = torch.ones([7] * weights[odd[0]].ndim)
    save_file(weights, tmp_path / "sae/sae_weights.safetensors")
    with pytest.raises((RuntimeError, ValueError), match=r"size mismatch|2 curves, logits for 7"):
        loaded(tmp_path / "sae")


def test_without_a_way_over_the_disk(name):
    sae = make(name)
    theirs = rsae.saelens.convert(sae, {"hook_name": "h"})
    close(theirs.encode(X), sae.hard(sae.encode(X)))
    assert theirs.cfg.metadata.hook_name == "h"
    with torch.no_grad():
        theirs.W_enc.zero_()
    assert sae.W_enc.abs().max() > 0


def test_hooks_see_preactivations_and_codes_and_can_change_them(tmp_path, name):
    sae = make(name)
    theirs = rsae.saelens.convert(sae)
    out, cache = theirs.run_with_cache(X)
    close(cache["hook_sae_acts_pre"], (X - sae.b_dec) @ sae.W_enc + sae.b_enc)
    close(cache["hook_sae_acts_post"], sae.hard(sae.encode(X)))
    close(cache["hook_sae_recons"], out)
    nothing = theirs.run_with_hooks(X, fwd_hooks=[("hook_sae_acts_post", lambda z, hook: torch.zeros_like(z))])
    close(nothing, sae.b_dec.expand_as(X))


def test_gradients_reach_the_activation(name):
    theirs = rsae.saelens.convert(make(name))
    x = X.clone().requires_grad_()
    theirs(x).square().sum().backward()
    assert x.grad is not None
    assert float(x.grad.abs().sum()) > 0


@pytest.mark.parametrize("how", INPUTS)
def test_folding_decoder_norms_changes_no_output_and_no_support(tmp_path, name, how):
    norms = torch.full((D_SAE,), 1.3) if name.startswith("steps") else None
    sae = make(name, how, norms)
    theirs, folded = rsae.saelens.convert(sae), rsae.saelens.convert(sae)
    folded.fold_W_dec_norm()
    norm = sae.W_dec.norm(dim=1)
    close(folded.W_dec.norm(dim=1), torch.ones(D_SAE))
    close(folded.encode(X), theirs.encode(X) * norm, 1e-4)
    close(folded(X), theirs(X), 1e-4)
    assert torch.equal(folded.encode(X) != 0, theirs.encode(X) != 0)
    folded.save_model(tmp_path / "folded")
    for again in (loaded(tmp_path / "folded"), rsae.saelens.convert(SAE.load(tmp_path / "folded"))):
        close(again(X), theirs(X), 1e-4)
    folded.fold_W_dec_norm()  # a second time does nothing
    close(folded(X), theirs(X), 1e-4)


def test_a_folded_rational_gate_is_the_formula_with_both_scales_times_the_norm():
    sae = make("rational")
    folded: Any = rsae.saelens.convert(sae)
    folded.fold_W_dec_norm()
    norm = sae.W_dec.norm(dim=1)
    before, after = sae.tensors(), {k: v.detach() for k, v in folded.gate.tensors().items()}
    close(after["c_in"], before["c_in"] * norm)
    close(after["c_out"], before["c_out"] * norm)
    close(folded.W_enc, sae.W_enc * norm)
    # by the definition, in float64
    u = ((X - sae.b_dec) @ folded.W_enc + folded.b_enc).double() / after["c_in"] - FORM.center
    p = sum(c * u**i for i, c in enumerate(FORM.num))
    a = sum(c * u**i for i, c in enumerate(FORM.den))
    wanted = after["c_out"] * p / (1 + abs(a))
    folded.cfg.codes = "raw"
    close(folded.encode(X).double(), wanted.detach(), 1e-4)
    assert folded.cfg.gate["n_scales"] == D_SAE


def test_steps_of_one_length_refuse_norms_that_differ():
    theirs = rsae.saelens.convert(make("steps on topk"))
    before = theirs(X)
    with pytest.raises(NotImplementedError, match="one step length"):
        theirs.fold_W_dec_norm()
    assert torch.equal(theirs(X), before)


def test_folding_a_scale_of_the_input_keeps_function_and_support(name):
    theirs = rsae.saelens.convert(make(name))
    wanted, scale = theirs.encode(X), 0.25
    theirs.fold_activation_norm_scaling_factor(scale)
    close(theirs.encode(X / scale), wanted, 1e-4)
    close(theirs(X / scale) * scale, rsae.saelens.convert(make(name))(X), 1e-4)
    with pytest.raises(NotImplementedError, match="whitening"):
        theirs.fold_activation_whitening(torch.zeros(D_IN), torch.eye(D_IN), torch.eye(D_IN))


def test_double_precision_works_and_half_is_refused(tmp_path):
    for name in ("rational", "resolvent on jumprelu"):
        sae = make(name)
        sae.save(tmp_path / "sae", {})
        double = loaded(tmp_path / "sae", dtype="float64")
        assert double.encode(X).dtype == torch.float64
        close(double.encode(X).float(), sae.hard(sae.encode(X)), 1e-4)
        with pytest.raises(ValueError, match="load it with dtype='float32'"):
            loaded(tmp_path / "sae", dtype="bfloat16")
        with pytest.raises(ValueError, match="load it with dtype='float32'"):
            rsae.saelens.convert(sae).to(torch.bfloat16).encode(X)


def test_who_forgets_the_import_is_told_by_the_error_and_by_the_file(tmp_path):
    make("rational").save(tmp_path / "sae", {})
    assert "import rsae.saelens" in json.loads((tmp_path / "sae/cfg.json").read_text())["metadata"]["needs"]
    code = f"""
from sae_lens import SAE
try:
    SAE.load_from_disk({str(tmp_path / "sae")!r})
except KeyError as error:
    print(error)
import rsae.saelens
SAE.load_from_disk({str(tmp_path / "sae")!r})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "'rsae (import rsae.saelens)'\n"), done.stderr


def test_an_older_file_in_which_the_gate_lies_flat_is_read(tmp_path):
    sae = make("rational")
    sae.save(tmp_path / "sae", {})
    path = tmp_path / "sae/cfg.json"
    cfg = json.loads(path.read_text())
    gate = cfg.pop("gate")
    del cfg["refinement"], cfg["sha256"]
    path.write_text(json.dumps(cfg | gate))
    assert json.loads(path.read_text())["architecture"] == "rsae"
    close(SAE.load(tmp_path / "sae").encode(X), sae.encode(X))
    close(loaded(tmp_path / "sae").encode(X), sae.hard(sae.encode(X)))
    close(torch.as_tensor(standalone.SAE(tmp_path / "sae").encode(X)), sae.hard(sae.encode(X)), 1e-4)
    loaded(tmp_path / "sae").save_model(str(tmp_path / "again"))
    close(SAE.load(tmp_path / "again").encode(X), sae.encode(X))


def test_what_describes_no_gate_is_refused():
    with pytest.raises(ValueError, match="describes no gate"):
        rsae.saelens.RSAEConfig(8, 32)
    with pytest.raises(ValueError, match="'hard' or 'raw'"):
        rsae.saelens.RSAEConfig(8, 32, degree=[3, 2], codes="soft")
