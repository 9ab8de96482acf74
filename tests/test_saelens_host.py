"""An upgraded SAE in sae_lens's own model and evaluation, against plain torch and transformers."""

from typing import Any

import pytest
import torch
from datasets import Dataset
from sae_lens.evals import get_eval_everything_config, run_evals
from sae_lens.training.activation_scaler import ActivationScaler
from sae_lens.training.activations_store import ActivationsStore
from transformers import AutoModelForCausalLM

import rsae.saelens  # noqa: F401 (registers the architecture)
from rsae import standalone
from rsae.data.activations.host import Host, load_model
from rsae.data.text.tokenizer import load_tokenizer
from rsae.rational.record import fitted
from rsae.sae import loading
from rsae.sae.gates.rational import Rational
from rsae.sae.support import mean_l0, settle
from rsae.training.start.rational_copy import rational_copy
from rsae.training.start.refined import pruned, with_rho

HOST, HOOK, LAYER = "assets/embedded/host", "blocks.1.hook_resid_post", 1
CTX, ROWS = 32, 8


@pytest.fixture(scope="module")
def bridge() -> Any:
    from sae_lens.analysis.sae_transformer_bridge import SAETransformerBridge

    model: Any = SAETransformerBridge.boot_transformers(
        HOST, hf_model=load_model(HOST), tokenizer=load_tokenizer(HOST), device="cpu"
    )
    return model


@pytest.fixture(scope="module")
def plain() -> Any:
    return AutoModelForCausalLM.from_pretrained(HOST)


@pytest.fixture(scope="module")
def ids(plain):
    text = " ".join(f"Return the {w} of the array, or None if it is empty." for w in "sum mean shape dtype".split())
    tokens = load_tokenizer(HOST)(text * 40, add_special_tokens=False)["input_ids"][: ROWS * (CTX - 1)]
    rows = torch.tensor(tokens).reshape(ROWS, CTX - 1)
    return torch.cat([torch.zeros(ROWS, 1, dtype=torch.long), rows], 1)  # BOS is 0


@pytest.fixture(scope="module")
def activations(plain, ids):
    with torch.no_grad():
        return plain(ids, output_hidden_states=True).hidden_states[LAYER + 1]


@pytest.fixture(scope="module", params=["rational on relu, hard", "resolvent on topk", "pruned on topk"])
def upgraded(request, activations, tmp_path_factory):
    """(the SAE in sae_lens, the file it came from read by torch alone)."""
    x = activations[:, 1:].reshape(-1, 128)
    if request.param.startswith("rational"):
        teacher = loading.load("assets/embedded/teachers/relu", "relu", 128)
        sae, _ = rational_copy(teacher, [x], fitted(target="relu", degree=(3, 2)), False, False)
        assert isinstance(sae.gate, Rational)
        settle(sae, [x], mean_l0(teacher, [x]))
    elif request.param.startswith("pruned"):
        sae, _ = pruned(loading.load("assets/embedded/teachers/topk", "topk", 128), [x], [0.1], 1.5)
        assert sae.refine is not None and sae.refine.cut
        # settled, it is the strength of one code, which the last bit of an activation lets in or out: into the next gap
        above = sae.strength(sae.proposed(x)).flatten().sort().values
        above = above[above >= sae.refine.cut][:200]
        widest = int((above[1:] - above[:-1]).argmax())
        sae.refine.cut = float(above[widest : widest + 2].mean())
    else:
        sae = with_rho(loading.load("assets/embedded/teachers/topk", "topk", 128), 1.0)
    folder = tmp_path_factory.mktemp("upgraded") / "sae"
    about = {"hook_name": HOOK, "context_size": CTX, "prepend_bos": True, "model_name": "gpt2-docs"}
    sae.save(folder, about)
    from sae_lens import SAE

    return SAE.load_from_disk(folder), standalone.SAE(folder)


def spliced(plain, ids, replace):
    """Logits with the stream after block :data:`LAYER` replaced, by a plain hook."""

    def hook(module, inputs, output):
        hidden = output[0] if isinstance(output, tuple) else output
        new = replace(hidden.reshape(-1, 128)).reshape(hidden.shape)
        return (new, *output[1:]) if isinstance(output, tuple) else new

    handle = plain.transformer.h[LAYER].register_forward_hook(hook)
    try:
        with torch.no_grad():
            return plain(ids).logits
    finally:
        handle.remove()


def test_attached_to_a_bridge(bridge, plain, ids, upgraded):
    theirs, alone = upgraded
    with torch.no_grad():
        logits, cache = bridge.run_with_cache_with_saes(ids, saes=[theirs])
        kept = bridge.run_with_saes(ids, saes=[theirs], use_error_term=True)
        clean = plain(ids).logits
    wanted = spliced(plain, ids, lambda x: alone.decode(alone.encode(x), x))
    torch.testing.assert_close(logits, wanted, rtol=1e-3, atol=1e-3)
    assert (logits - clean).abs().max() > 0.1
    torch.testing.assert_close(kept, clean, rtol=1e-3, atol=1e-3)
    z = cache[bridge.get_sae_hook_name(theirs)]
    x = cache[bridge.get_sae_hook_name(theirs, "hook_sae_input")]
    torch.testing.assert_close(z.reshape(-1, 2048), alone.encode(x.reshape(-1, 128)), rtol=1e-3, atol=1e-3)


def test_sae_lens_evals_count_the_declared_support(plain, ids, activations, upgraded):
    theirs, alone = upgraded
    # not the bridge above: sae_lens skips hooks by legacy names, silently, where an SAE was attached before
    bridge = Host(HOST, HOOK).bridge
    data = Dataset.from_dict({"tokens": ids.tolist()})
    store = ActivationsStore.from_sae(bridge, theirs, data, streaming=False, store_batch_size_prompts=ROWS)
    config = get_eval_everything_config(ROWS, 1, 1)
    metrics, _ = run_evals(theirs, store, bridge, ActivationScaler(), config, exclude_special_tokens=[0])
    x = activations[:, 1:].reshape(-1, 128)
    z = alone.encode(x)
    error = (x - alone.decode(z, x)).square().sum(1).mean()
    assert metrics["sparsity"]["l0"] == pytest.approx(float((z != 0).sum(1).float().mean()), abs=0.02)
    assert metrics["sparsity"]["l0"] < 100
    assert metrics["reconstruction_quality"]["mse"] == pytest.approx(float(error), rel=1e-3)
    assert metrics["reconstruction_quality"]["explained_variance"] > 0.5

    def replace(hidden):
        out = hidden.clone().reshape(ROWS, CTX, 128)
        text = out[:, 1:].reshape(-1, 128)
        out[:, 1:] = alone.decode(alone.encode(text), text).reshape(ROWS, CTX - 1, 128)  # special tokens are kept
        return out

    log_p = spliced(plain, ids, replace)[:, :-1].log_softmax(-1)
    ce = -log_p.gather(2, ids[:, 1:, None]).squeeze(2)
    found = metrics["model_performance_preservation"]["ce_loss_with_sae"]
    assert found == pytest.approx(float(ce[:, 1:].mean()), rel=1e-4)
