from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM

from rsae.hosts import Host

EMBEDDED = "assets/embedded/host"


def tiny(tmp_path, model):
    """A host directory of another architecture, with the embedded tokenizer."""
    from rsae.tokenizers import load_tokenizer

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


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gpt_neox"])
def test_capture_and_splice_agree_with_plain_transformers(tmp_path, architecture):
    torch.manual_seed(0)
    path = EMBEDDED
    if architecture == "llama":
        path = tiny(tmp_path, LlamaForCausalLM(LlamaConfig(**SIZES, num_key_value_heads=2)))
    if architecture == "gpt_neox":
        path = tiny(tmp_path, GPTNeoXForCausalLM(GPTNeoXConfig(**SIZES)))
    host, plain = Host(path, "blocks.1.hook_resid_post"), AutoModelForCausalLM.from_pretrained(path)
    ids = torch.randint(0, 2048, (3, 20))
    with torch.no_grad():
        wanted = plain(ids, output_hidden_states=True)
    torch.testing.assert_close(host.capture(ids), wanted.hidden_states[2], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(host.logits(ids), wanted.logits, atol=1e-4, rtol=1e-4)
    # an identity splice changes nothing, zeroing does, and nothing stays behind
    torch.testing.assert_close(host.logits(ids, lambda x: x.clone()), wanted.logits, atol=1e-4, rtol=1e-4)
    assert (host.logits(ids, torch.zeros_like) - wanted.logits).abs().max() > 1e-3
    torch.testing.assert_close(host.logits(ids), wanted.logits, atol=1e-4, rtol=1e-4)


def test_right_padding_is_invisible(tmp_path):
    host = Host(EMBEDDED, "blocks.1.hook_resid_post")
    ids = torch.randint(1, 2048, (1, 12))
    padded = torch.cat([ids, torch.zeros(1, 5, dtype=torch.long)], 1)
    torch.testing.assert_close(host.capture(padded)[:, :12], host.capture(ids), atol=1e-5, rtol=1e-5)


def test_a_wrong_hook_and_a_missing_host_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"no hook 'blocks\.9\.hook_resid_post'.*blocks\.3\.hook_resid_post"):
        Host(EMBEDDED, "blocks.9.hook_resid_post")
    with pytest.raises(ValueError, match="no host model"):
        Host(tmp_path / "nothing", "blocks.1.hook_resid_post")
