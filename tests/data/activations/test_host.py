import shutil
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

from rsae.data.activations.host import HookPoint, Host

EMBEDDED = "assets/embedded/host"


def tiny(tmp_path, model):
    """A host directory of another architecture, with the embedded tokenizer."""
    from rsae.data.text.tokenizer import load_tokenizer

    model.save_pretrained(tmp_path)
    load_tokenizer(EMBEDDED).save_pretrained(tmp_path)
    return tmp_path


SIZES: dict[str, Any] = {
    "vocab_size": 2048,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
}


def spliced(plain, ids, layer, resid):
    """Logits by definition: a whole run whose residual stream is replaced after block ``layer``."""
    blocks = getattr(plain.base_model, "h", None) or plain.base_model.layers

    def replace(module, inputs, output):
        return (resid, *output[1:]) if isinstance(output, tuple) else resid

    handle = blocks[layer].register_forward_hook(replace)
    with torch.no_grad():
        logits = plain(ids).logits
    handle.remove()
    return logits


@pytest.mark.parametrize("hook", ["blocks.1.hook_resid_post", "blocks.2.hook_resid_pre", "blocks.0.hook_resid_pre"])
@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gpt_neox", "gemma2"])
def test_capture_and_splice_agree_with_plain_transformers(tmp_path, architecture, hook):
    torch.manual_seed(0)
    path = EMBEDDED
    if architecture == "llama":
        path = tiny(tmp_path, LlamaForCausalLM(LlamaConfig(**SIZES, num_key_value_heads=2)))
    if architecture == "gpt_neox":
        path = tiny(tmp_path, GPTNeoXForCausalLM(GPTNeoXConfig(**SIZES)))
    if architecture == "gemma2":  # sliding windows in every other block, soft-capped logits
        path = tiny(tmp_path, Gemma2ForCausalLM(Gemma2Config(**SIZES, num_key_value_heads=2, head_dim=8)))
    host, plain = Host(path, hook), AutoModelForCausalLM.from_pretrained(path)
    ids = torch.randint(0, 2048, (3, 20))
    with torch.no_grad():
        wanted = plain(ids, output_hidden_states=True)
    layer = -1 if hook.startswith("blocks.0") else 1
    torch.testing.assert_close(host.capture(ids), wanted.hidden_states[layer + 1], atol=1e-5, rtol=1e-5)
    assert "bridge" not in vars(host)  # which a harvest need not pay for
    clean = host.clean(ids)
    torch.testing.assert_close(host.capture(ids), clean.resid, atol=1e-5, rtol=1e-5)  # now through the bridge's blocks
    torch.testing.assert_close(clean.resid, wanted.hidden_states[layer + 1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(clean.logits, wanted.logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(host.resume(clean, clean.resid), wanted.logits, atol=1e-4, rtol=1e-4)
    other = clean.resid + torch.randn_like(clean.resid)
    if layer >= 0:
        torch.testing.assert_close(host.resume(clean, other), spliced(plain, ids, 1, other), atol=1e-4, rtol=1e-4)
    assert (host.resume(clean, other) - wanted.logits).abs().max() > 1e-3
    # nothing of it stays behind
    torch.testing.assert_close(host.clean(ids).logits, wanted.logits, atol=1e-4, rtol=1e-4)


def test_centred_writing_weights_take_the_mean_of_each_token_away_and_no_logit_changes():
    from transformer_lens.model_bridge import TransformerBridge

    from rsae.data.text.tokenizer import load_tokenizer

    hook, ids = "blocks.2.hook_resid_pre", torch.randint(0, 2048, (3, 20))
    host, plain = Host(EMBEDDED, hook, center_writing_weights=True), AutoModelForCausalLM.from_pretrained(EMBEDDED)
    with torch.no_grad():
        wanted = plain(ids, output_hidden_states=True)
    raw = wanted.hidden_states[2]
    seen = raw - raw.sum(-1, keepdim=True) / 128
    torch.testing.assert_close(host.capture(ids), seen, atol=1e-5, rtol=1e-5)
    clean = host.clean(ids)
    torch.testing.assert_close(clean.resid, seen, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(host.resume(clean, clean.resid), wanted.logits, atol=1e-4, rtol=1e-4)
    # transformer_lens centres the weights themselves
    processed: Any = TransformerBridge.boot_transformers(
        EMBEDDED, hf_model=AutoModelForCausalLM.from_pretrained(EMBEDDED), tokenizer=load_tokenizer(EMBEDDED)
    )
    processed.enable_compatibility_mode(center_writing_weights=True, center_unembed=False, fold_ln=False)
    other = seen + torch.randn_like(seen)
    with torch.no_grad():
        _, cache = processed.run_with_cache(ids)
        logits = processed.run_with_hooks(ids, return_type="logits", fwd_hooks=[(hook, lambda x, hook: other)])
    torch.testing.assert_close(host.capture(ids), cache[hook], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(host.resume(clean, other), logits, atol=1e-4, rtol=1e-4)


def test_a_host_whose_readers_see_the_mean_cannot_be_centred(tmp_path):
    path = tiny(tmp_path, LlamaForCausalLM(LlamaConfig(**SIZES, num_key_value_heads=2)))
    with pytest.raises(ValueError, match=r"RMS.*set center_writing_weights: false"):
        Host(path, "blocks.1.hook_resid_post", center_writing_weights=True)


@pytest.mark.parametrize(("hook", "runs"), [("blocks.1.hook_resid_post", 2), ("blocks.0.hook_resid_pre", 0)])
def test_a_capture_runs_the_blocks_before_the_hook_and_nothing_else(hook, runs):
    host, ran = Host(EMBEDDED, hook), []
    for i, block in enumerate(host.model.transformer.h):
        block.mlp.register_forward_hook(lambda m, x, y, i=i: ran.append(i))
    for module in (host.model.transformer.ln_f, host.model.lm_head):
        module.register_forward_hook(lambda m, x, y: ran.append(m))
    host.capture(torch.randint(1, 2048, (1, 12)))
    assert ran == list(range(runs))


def test_several_sites_are_captured_in_one_run_that_ends_behind_the_last():
    host, ran = Host(EMBEDDED, "blocks.0.hook_resid_post"), []
    ids = torch.randint(1, 2048, (2, 12))
    with torch.no_grad():
        states = AutoModelForCausalLM.from_pretrained(EMBEDDED)(ids, output_hidden_states=True).hidden_states
    for i, block in enumerate(host.model.transformer.h):
        block.mlp.register_forward_hook(lambda m, x, y, i=i: ran.append(i))
    hooks = [
        "blocks.2.hook_resid_post",
        "blocks.0.hook_resid_pre",
        "blocks.1.hook_resid_post",
        "blocks.2.hook_resid_pre",
    ]
    found = host.captures(ids, [HookPoint(hook) for hook in hooks])
    assert ran == [0, 1, 2]
    for x, wanted in zip(found, (states[3], states[0], states[2], states[2]), strict=True):
        torch.testing.assert_close(x, wanted, atol=1e-5, rtol=1e-5)
    (centred,) = host.captures(ids, [HookPoint(hooks[0], True)])
    torch.testing.assert_close(centred, states[3] - states[3].mean(-1, keepdim=True), atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match=r"no hook 'blocks\.9\.hook_resid_post'"):
        host.captures(ids, [HookPoint("blocks.9.hook_resid_post")])


def test_blocks_before_the_hook_are_not_run_again():
    host = Host(EMBEDDED, "blocks.1.hook_resid_post")
    clean = host.clean(torch.randint(1, 2048, (1, 12)))
    ran = []
    for i, block in enumerate(host.bridge.original_model.transformer.h):
        block.original_component.attn.register_forward_hook(lambda m, x, y, i=i: ran.append(i))
    host.resume(clean, clean.resid)
    assert ran == [2, 3]


def test_rows_longer_than_the_host_reads_are_refused():
    host = Host(EMBEDDED, "blocks.1.hook_resid_post")  # of 128 positions
    with pytest.raises(ValueError, match=r"at most 128 positions, the rows have 129; lower `ctx`"):
        host.capture(torch.ones(1, 129, dtype=torch.long))


def test_a_truncated_or_incomplete_host_is_named(tmp_path):
    shutil.copytree(EMBEDDED, tmp_path / "host")
    weights = tmp_path / "host/model.safetensors"
    tensors = load_file(weights)
    del tensors["transformer.h.2.mlp.c_fc.weight"]
    save_file(tensors, weights, {"format": "pt"})
    with pytest.raises(ValueError, match=r"lack .*h\.2\.mlp\.c_fc\.weight"):
        Host(tmp_path / "host", "blocks.1.hook_resid_post")
    weights.write_bytes(weights.read_bytes()[:100_000])
    with pytest.raises(ValueError, match="no whole host model"):
        Host(tmp_path / "host", "blocks.1.hook_resid_post")


def test_right_padding_is_invisible(tmp_path):
    host = Host(EMBEDDED, "blocks.1.hook_resid_post")
    ids = torch.randint(1, 2048, (1, 12))
    padded = torch.cat([ids, torch.zeros(1, 5, dtype=torch.long)], 1)
    torch.testing.assert_close(host.capture(padded)[:, :12], host.capture(ids), atol=1e-5, rtol=1e-5)


def test_a_wrong_hook_and_a_missing_host_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"no hook 'blocks\.9\.hook_resid_post'.*blocks\.3\.hook_resid_post"):
        Host(EMBEDDED, "blocks.9.hook_resid_post")
    with pytest.raises(ValueError, match="no whole host model"):
        Host(tmp_path / "nothing", "blocks.1.hook_resid_post")
