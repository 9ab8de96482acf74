"""The language model: capture and splice at one residual site of a plain Hugging Face model."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import AutoModelForCausalLM
from transformers.activations import NewGELUActivation

from rsae.receipts import opened


class Clean(NamedTuple):
    """An untouched run of the host: what later runs are compared with and continue from."""

    ids: Int[Tensor, "b len"]
    resid: Float[Tensor, "b len d_in"]  # at the hook
    logits: Float[Tensor, "b len vocab"]
    handed_on: Any  # what the block before the hook returned: a tensor, or a tuple that begins with one


class _ReachedError(Exception):
    """The hook has seen what it wants: the rest of the model is not run."""


class Host:
    """A causal language model, its residual stream open at ``hook``, which is named as in transformer_lens.

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
        path, self.hook = opened(path), hook
        self.model = load_model(path).eval()
        self.blocks = _blocks(self.model)
        sites = [f"blocks.{i}.hook_resid_{where}" for i in range(len(self.blocks)) for where in ("pre", "post")]
        if hook not in sites:
            raise ValueError(f"host {path} has no hook {hook!r}; its residual sites are {', '.join(sites)}")
        if center_writing_weights and (other := _readers(self.model) - {"LayerNorm"}):
            raise ValueError(
                f"host {path} reads its residual stream through {', '.join(sorted(other))}, to which the mean"
                " matters; set center_writing_weights: false"
            )
        self.centred, self.path = center_writing_weights, path
        self.longest = getattr(self.model.config, "max_position_embeddings", None)
        # the blocks that lie before the hook
        self._before = list(self.blocks)[: int(hook.split(".")[1]) + hook.endswith("post")]

    @property
    def vocab(self) -> int:
        """Number of logits per position."""
        return self.model.get_output_embeddings().out_features

    def _seen(self, x: Tensor) -> Tensor:
        return x - x.mean(-1, keepdim=True) if self.centred else x

    @torch.no_grad()
    def capture(self, ids: Int[Tensor, "b len"]) -> Float[Tensor, "b len d_in"]:
        """The residual stream at the hook; what comes after it is not run."""
        self._check(ids)
        kept: list[Any] = []

        def keep(x: Any) -> None:
            kept.append(x)
            raise _ReachedError

        with self._watching(keep), suppress(_ReachedError):
            self.model.base_model(ids, use_cache=False)
        return self._seen(_stream(kept[0]))

    @torch.no_grad()
    def clean(self, ids: Int[Tensor, "b len"]) -> Clean:
        """Run the host as it is, keeping what :meth:`resume` needs."""
        self._check(ids)
        kept: list[Any] = []
        with self._watching(kept.append):
            logits = self.model(ids, use_cache=False).logits
        return Clean(ids, self._seen(_stream(kept[0])), logits, kept[0])

    @torch.no_grad()
    def resume(self, clean: Clean, resid: Float[Tensor, "b len d_in"]) -> Float[Tensor, "b len vocab"]:
        """Logits with ``resid`` in place of the clean residual stream at the hook.

        The blocks before the hook are not run again: they hand on ``resid`` at once.
        """
        if self._before:
            with _handing_on(self._before, clean.handed_on, resid):
                return self.model(clean.ids, use_cache=False).logits
        handle = self.blocks[0].register_forward_pre_hook(lambda block, args: (resid, *args[1:]))
        try:
            return self.model(clean.ids, use_cache=False).logits
        finally:
            handle.remove()

    @contextmanager
    def _watching(self, see: Any) -> Iterator[None]:
        """While open, ``see`` is called with what stands at the hook, in the form in which blocks hand it on."""
        if self._before:
            handle = self._before[-1].register_forward_hook(lambda block, args, output: see(output))
        else:
            handle = self.blocks[0].register_forward_pre_hook(lambda block, args: see(args[0]))
        try:
            yield
        finally:
            handle.remove()

    def _check(self, ids: Tensor) -> None:
        if self.longest is not None and ids.shape[1] > self.longest:
            raise ValueError(
                f"host {self.path} reads at most {self.longest} positions, the rows have {ids.shape[1]};"
                " lower its `ctx`"
            )


def _blocks(model: Any) -> Any:
    """The decoder's layers: every architecture holds them in one list of ``num_hidden_layers``."""
    n = model.config.num_hidden_layers
    return next(m for m in model.base_model.modules() if isinstance(m, nn.ModuleList) and len(m) == n)


def _readers(model: nn.Module) -> set[str]:
    """Class names of the normalisations."""
    return {type(m).__name__ for m in model.modules() if re.search("norm", type(m).__name__, re.IGNORECASE)}


def _stream(handed_on: Any) -> Tensor:
    return handed_on[0] if isinstance(handed_on, tuple) else handed_on


@contextmanager
def _handing_on(blocks: list[Any], like: Any, resid: Tensor) -> Iterator[None]:
    """While open, each of ``blocks`` returns ``resid``, in the form of ``like``, without computing."""
    output = (resid, *like[1:]) if isinstance(like, tuple) else resid
    for block in blocks:  # an instance's entry hides the class's method
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
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, NewGELUActivation):  # the same function in eight passes, one of them a power
                setattr(module, name, nn.GELU(approximate="tanh"))
    return model
