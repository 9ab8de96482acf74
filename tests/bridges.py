"""The embedded host as sae_lens's evals read it."""

from typing import Any

from transformer_lens.model_bridge import TransformerBridge

from rsae.hosts import load_model
from rsae.tokenizers import load_tokenizer


def as_bridge(path: str) -> Any:
    """With the legacy names of hooks; weights stay as Hugging Face has them."""
    bridge: Any = TransformerBridge.boot_transformers(
        path, hf_model=load_model(path), tokenizer=load_tokenizer(path), device="cpu"
    )
    bridge.enable_compatibility_mode(no_processing=True)
    return bridge
