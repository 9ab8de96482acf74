"""The language model: capture and splice at one residual site, through TransformerBridge."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import AutoModelForCausalLM

from rsae.tokenizers import load_tokenizer


class Host:
    """A causal language model, its residual stream open at ``hook``.

    ``d_in`` is the width of the site. Only positions that hold text are touched: BOS keeps its
    own activation in clean and spliced runs alike.

    Raises:
        ValueError: the directory holds no model, or the model has no such hook.
    """

    def __init__(self, path: Path | str, hook: str) -> None:
        # slow to import (seconds, half a gigabyte), so only stages that run a host pay for it
        from transformer_lens.model_bridge import TransformerBridge

        try:
            model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
        except (OSError, ValueError) as error:
            raise ValueError(f"no host model in {path}: {error}") from error
        self.hook = hook
        self.bridge: Any = TransformerBridge.boot_transformers(
            str(path), hf_model=model, tokenizer=load_tokenizer(path), device="cpu"
        )
        # legacy hook names; weights stay as Hugging Face has them
        self.bridge.enable_compatibility_mode(no_processing=True)
        if hook not in self.bridge.hook_dict:
            sites = [k for k in self.bridge.hook_dict if k.endswith(("hook_resid_pre", "hook_resid_post"))]
            raise ValueError(f"host {path} has no hook {hook!r}; its residual sites are {', '.join(sites)}")
        self.layer = int(hook.split(".")[1])

    def capture(self, ids: Int[Tensor, "b len"]) -> Float[Tensor, "b len d_in"]:
        """The residual stream at the hook; later layers are not run."""
        kept: list[Tensor] = []
        with torch.no_grad():
            self.bridge.run_with_hooks(
                ids,
                return_type=None,
                stop_at_layer=self.layer + 1,
                fwd_hooks=[(self.hook, lambda x, hook: kept.append(x.detach().clone()))],
            )
        return kept[0]

    def logits(
        self,
        ids: Int[Tensor, "b len"],
        splice: Callable[[Float[Tensor, "b len d_in"]], Float[Tensor, "b len d_in"]] | None = None,
    ) -> Float[Tensor, "b len vocab"]:
        """Next-token logits, with ``splice`` applied to the residual stream at the hook."""
        hooks = [(self.hook, lambda x, hook: splice(x))] if splice else []
        with torch.no_grad():
            return self.bridge.run_with_hooks(ids, return_type="logits", fwd_hooks=hooks)
