"""The language model: capture and splice at one residual site, through TransformerBridge."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import AutoModelForCausalLM

from rsae.device import device
from rsae.receipts import opened
from rsae.tokenizers import load_tokenizer


class Clean(NamedTuple):
    """An untouched run of the host: what later runs are compared with and continue from."""

    ids: Int[Tensor, "b len"]
    resid: Float[Tensor, "b len d_in"]  # at the hook
    logits: Float[Tensor, "b len vocab"]
    handed_on: Any  # what the block before the hook returned: a tensor, or a tuple that begins with one


class Host:
    """A causal language model, its residual stream open at ``hook``.

    ``d_in`` is the width of the site. Only positions that hold text are touched: BOS keeps its
    own activation in clean and spliced runs alike.

    ``center_writing_weights``: the site as SAEs saw it that were trained through transformer_lens's
    processed models. Centring every weight that writes to the stream takes each token's mean over
    d_in away and changes no logit where every reader is a LayerNorm, so here the mean itself is taken.

    Raises:
        ValueError: the directory holds no whole model, the model has no such hook, cannot be
            centred, or is given more positions than it has.
    """

    def __init__(self, path: Path | str, hook: str, center_writing_weights: bool = False) -> None:
        # slow to import (seconds, half a gigabyte), so only stages that run a host pay for it
        from transformer_lens.model_bridge import TransformerBridge

        path, self.hook, self.device = opened(path), hook, device()
        model, tokenizer = load_model(path).to(self.device), load_tokenizer(path)
        self.bridge: Any = TransformerBridge.boot_transformers(
            str(path), hf_model=model, tokenizer=tokenizer, device=str(self.device)
        )
        # legacy hook names; weights stay as Hugging Face has them
        self.bridge.enable_compatibility_mode(no_processing=True)
        sites = [k for k in self.bridge.hook_dict if k.endswith(("hook_resid_pre", "hook_resid_post"))]
        if hook not in sites:
            raise ValueError(f"host {path} has no hook {hook!r}; its residual sites are {', '.join(sites)}")
        if center_writing_weights and self.bridge.cfg.normalization_type not in ("LN", "LNPre"):
            raise ValueError(
                f"host {path} reads its residual stream through {self.bridge.cfg.normalization_type}, to which the mean"
                " matters; set center_writing_weights: false"
            )
        self.centred, self.layer = center_writing_weights, int(hook.split(".")[1])
        self.path, self.longest = path, getattr(self.bridge.original_model.config, "max_position_embeddings", None)
        # the blocks that lie before the hook
        self._before = [*self.bridge.blocks][: self.layer + hook.endswith("post")]

    @property
    def vocab(self) -> int:
        """Number of logits per position."""
        return self.bridge.cfg.d_vocab

    def _seen(self, x: Tensor) -> Tensor:
        return x - x.mean(-1, keepdim=True) if self.centred else x.clone()

    @torch.no_grad()
    def capture(self, ids: Int[Tensor, "b len"]) -> Float[Tensor, "b len d_in"]:
        """The residual stream at the hook; later layers are not run."""
        ids = self._read(ids)
        kept: list[Tensor] = []
        self.bridge.run_with_hooks(
            ids,
            return_type=None,
            stop_at_layer=self.layer + 1,
            fwd_hooks=[(self.hook, lambda x, hook: kept.append(self._seen(x.detach())))],
        )
        return kept[0]

    @torch.no_grad()
    def clean(self, ids: Int[Tensor, "b len"]) -> Clean:
        """Run the host as it is, keeping what :meth:`resume` needs."""
        ids = self._read(ids)
        kept: list[Tensor] = []
        handed_on: list[Any] = []
        last = self._before[-1:]  # none where the hook stands before the first block
        handles = [block.register_forward_hook(lambda m, i, output: handed_on.append(output)) for block in last]
        try:
            logits = self.bridge.run_with_hooks(
                ids,
                return_type="logits",
                fwd_hooks=[(self.hook, lambda x, hook: kept.append(self._seen(x.detach())))],
            )
        finally:
            for handle in handles:
                handle.remove()
        return Clean(ids, kept[0], logits, handed_on[0] if handed_on else None)

    def _read(self, ids: Tensor) -> Tensor:
        if self.longest is not None and ids.shape[1] > self.longest:
            raise ValueError(
                f"host {self.path} reads at most {self.longest} positions, the rows have {ids.shape[1]};"
                " lower its `ctx`"
            )
        return ids.to(self.device)

    @torch.no_grad()
    def resume(self, clean: Clean, resid: Float[Tensor, "b len d_in"]) -> Float[Tensor, "b len vocab"]:
        """Logits with ``resid`` in place of the clean residual stream at the hook.

        The blocks before the hook are not run again: they hand on ``resid`` at once.
        """
        if not self._before:  # the hook stands before the first block: nothing to leave out
            return self.bridge.run_with_hooks(
                clean.ids, return_type="logits", fwd_hooks=[(self.hook, lambda x, hook: resid)]
            )
        with _handing_on(self._before, clean.handed_on, resid):
            return self.bridge(clean.ids, return_type="logits")


@contextmanager
def _handing_on(blocks: list[Any], like: Any, resid: Tensor) -> Iterator[None]:
    """While open, each of ``blocks`` returns ``resid``, in the form of ``like``, without computing."""
    output = (resid, *like[1:]) if isinstance(like, tuple) else resid
    for block in blocks:  # past the bridge's own attribute access: an instance's entry hides the class's method
        vars(block)["forward"] = lambda *args, **kwargs: output
    try:
        yield
    finally:
        for block in blocks:
            del vars(block)["forward"]


def load_model(path: Path | str) -> Any:
    """The Hugging Face model in ``path``, in fp32.

    Raises:
        ValueError: there is none, its weights are truncated, or parameters are missing from them.
    """
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            path, dtype=torch.float32, output_loading_info=True, trust_remote_code=False
        )
        model, report = loaded
    except Exception as error:  # safetensors, json and transformers each have exceptions of their own
        raise ValueError(f"no whole host model in {path}: {' '.join(str(error).split())}") from error
    if report["missing_keys"]:
        raise ValueError(f"host {path}: the weights lack {', '.join(sorted(report['missing_keys']))}; fetch them again")
    return model
