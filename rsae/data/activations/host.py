"""The language model: capture and splice at one residual site."""

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from rsae.config.layouts import host_files
from rsae.data.activations.fast_layers import computing, quick
from rsae.data.hub import network
from rsae.data.hub.receipts import opened
from rsae.data.text.tokenizer import load_tokenizer
from rsae.data.text.tokens import Row, TokenRows, batches
from rsae.runtime.caller import word
from rsae.runtime.device import device
from rsae.runtime.files import sha256
from rsae.runtime.progress import progress

BATCH = 32  # rows that are captured together


class HookPoint(NamedTuple):
    """One place in the residual stream, and how it is seen there."""

    hook: str
    centred: bool = False  # without each token's mean over d_in


class Clean(NamedTuple):
    """An untouched run of the host: what later runs are compared with and continue from."""

    ids: Int[Tensor, "b len"]
    resid: Float[Tensor, "b len d_in"]  # at the hook
    logits: Float[Tensor, "b len vocab"]
    handed_on: Any  # what the block before the hook returned: a tensor, or a tuple that begins with one


class _ReachedError(Exception):
    """The hook has seen what it wants: the rest of the model is not run."""


class Host:
    """A causal language model, its residual stream open at ``hook``.

    ``d_in`` is the width of the site. Only positions that hold text are touched: BOS keeps its
    own activation in clean and spliced runs alike.

    What only captures runs the Hugging Face model as it is, up to the hook; the bridge, whose hook points cost more
    than a small model's blocks, is built at the first :meth:`clean`. They agree (tests/data/activations/test_host.py).

    ``center_writing_weights``: the site as SAEs saw it that were trained through transformer_lens's
    processed models. Centring every weight that writes to the stream takes each token's mean over
    d_in away and changes no logit where every reader is a LayerNorm, so here the mean itself is taken.

    Raises:
        ValueError: the directory holds no whole model, the model has no such hook, cannot be
            centred, or is given more positions than it has.
    """

    def __init__(self, path: Path | str, hook: str, center_writing_weights: bool = False) -> None:
        self.path, self.device = opened(path), device()
        self.model = load_model(self.path).to(self.device)
        self.readers = _readers(self.model)  # before a bridge wraps them
        blocks = range(len(_blocks(self.model)))
        self.hooks = [f"blocks.{i}.hook_resid_{at}" for i in blocks for at in ("pre", "post")]
        self.hook, self.centred = self.site = HookPoint(hook, center_writing_weights)
        self.n_before = self._blocks_before(self.site)
        self.longest = getattr(self.model.config, "max_position_embeddings", None)
        self.n_ids: int = self.model.get_input_embeddings().num_embeddings
        self.vocab: int = self.model.get_output_embeddings().out_features  # logits per position

    def _blocks_before(self, site: HookPoint) -> int:
        """How many blocks lie before a site, having checked that it can be seen as it is asked for."""
        if site.hook not in self.hooks:
            raise ValueError(
                f"host {self.path} has no hook {site.hook!r}; its residual sites are {', '.join(self.hooks)}"
            )
        if site.centred and (other := self.readers - {"LayerNorm"}):
            raise ValueError(
                f"host {self.path} reads its residual stream through {', '.join(sorted(other))}, to which the mean"
                " matters; set center_writing_weights: false"
            )
        return int(site.hook.split(".")[1]) + site.hook.endswith("post")

    def digests(self) -> list[str]:
        """sha256 of each file that the host is made of."""
        return [sha256(self.path / name) for name in host_files([p.name for p in self.path.iterdir()])]

    @cached_property
    def bridge(self) -> Any:
        """``model`` behind transformer_lens's hooks, under their older names; weights as Hugging Face has them."""
        # slow to import (seconds, half a gigabyte), so only what splices pays for it
        from transformer_lens.model_bridge import TransformerBridge

        bridge = TransformerBridge.boot_transformers(
            str(self.path), hf_model=self.model, tokenizer=load_tokenizer(self.path), device=str(self.device)
        )
        bridge.enable_compatibility_mode(no_processing=True)
        return bridge

    @property
    def _before(self) -> list[Any]:
        return [*self.bridge.blocks][: self.n_before]

    def capture(self, ids: Int[Tensor, "b len"]) -> Float[Tensor, "b len d_in"]:
        """The residual stream at the hook; what comes after it is not run."""
        return self.captures(ids, [self.site])[0]

    @torch.no_grad()
    def captures(self, ids: Int[Tensor, "b len"], sites: Sequence[HookPoint]) -> list[Float[Tensor, "b len d_in"]]:
        """The residual stream at each of ``sites``, of one run; what comes after the last of them is not run.

        Raises:
            ValueError: the model has no such hook, or cannot be centred.
        """
        ids, blocks, before = self._read(ids), _blocks(self.model), [self._blocks_before(site) for site in sites]
        kept: dict[int, Tensor] = {}  # by the number of blocks before

        def keep(n: int, x: Any) -> None:
            kept[n] = (x[0] if isinstance(x, tuple) else x).clone()  # a later block may add in place
            if n == max(before):
                raise _ReachedError

        def hooked(n: int) -> Any:
            if n:
                return blocks[n - 1].register_forward_hook(lambda block, args, output: keep(n, output))
            return blocks[0].register_forward_pre_hook(lambda block, args: keep(n, args))

        handles = [hooked(n) for n in set(before)]
        try:
            with quick(self.model):
                self.model.base_model(ids, use_cache=False)
        except _ReachedError:
            pass
        finally:
            for handle in handles:
                handle.remove()
        return [_seen(kept[n], site) for n, site in zip(before, sites, strict=True)]

    @torch.no_grad()
    def clean(self, ids: Int[Tensor, "b len"]) -> Clean:
        """Run the host as it is, keeping what :meth:`resume` needs."""
        ids = self._read(ids)
        kept: list[Tensor] = []
        handed_on: list[Any] = []
        last = self._before[-1:]  # none where the hook stands before the first block
        handles = [block.register_forward_hook(lambda m, i, output: handed_on.append(output)) for block in last]
        try:
            with quick(self.bridge):
                logits = self.bridge.run_with_hooks(
                    ids,
                    return_type="logits",
                    fwd_hooks=[(self.hook, lambda x, hook: kept.append(_seen(x.detach().clone(), self.site)))],
                )
        finally:
            for handle in handles:
                handle.remove()
        return Clean(ids, kept[0], logits, handed_on[0] if handed_on else None)

    def _read(self, ids: Tensor) -> Tensor:
        if self.longest is not None and ids.shape[1] > self.longest:
            raise ValueError(
                f"host {self.path} reads at most {self.longest} positions, the rows have {ids.shape[1]};"
                f" lower `{word('ctx')}`"
            )
        if len(ids) and not 0 <= (least := int(ids.min())) <= (most := int(ids.max())) < self.n_ids:
            raise ValueError(
                f"token id {most if least >= 0 else least} is none of the {self.n_ids} that host {self.path} has a row"
                " for; its tokenizer belongs to another model, or the ids hold a mark such as -100"
            )
        return ids.to(self.device)

    @torch.no_grad()
    def resume(self, clean: Clean, resid: Float[Tensor, "b len d_in"]) -> Float[Tensor, "b len vocab"]:
        """Logits with ``resid`` in place of the clean residual stream at the hook.

        The blocks before the hook are not run again: they hand on ``resid`` at once.
        """
        with quick(self.bridge):
            if not self.n_before:  # the hook stands before the first block: nothing to leave out
                return self.bridge.run_with_hooks(
                    clean.ids, return_type="logits", fwd_hooks=[(self.hook, lambda x, hook: resid)]
                )
            with _handing_on(self._before, clean.handed_on, resid):
                return self.bridge(clean.ids, return_type="logits")


def _handing_on(blocks: list[Any], like: Any, resid: Tensor) -> AbstractContextManager[None]:
    """While open, each of ``blocks`` returns ``resid``, in the form of ``like``, without computing."""
    output = (resid, *like[1:]) if isinstance(like, tuple) else resid
    return computing(dict.fromkeys(blocks, lambda *args, **kwargs: output))


def _seen(x: Tensor, site: HookPoint) -> Tensor:
    return x - x.mean(-1, keepdim=True) if site.centred else x


def _blocks(model: Any) -> Any:
    """The decoder's layers, which every architecture holds in one list of ``num_hidden_layers``.

    Raises:
        ValueError: there is no such list.
    """
    n = model.config.get_text_config().num_hidden_layers
    for module in model.base_model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == n:
            return module
    raise ValueError(f"{type(model).__name__} has no list of its {n} layers, so its residual stream is not found")


def _readers(model: nn.Module) -> set[str]:
    """Class names of the normalisations."""
    return {type(m).__name__ for m in model.modules() if re.search("norm", type(m).__name__, re.IGNORECASE)}


def activations(
    host: Any, rows: TokenRows, what: str, first: int = 0, sites: Sequence[HookPoint] | None = None
) -> Iterator[tuple[Row, Float[Tensor, "n width"]]]:
    """What ``host`` captures at every position of text, row by row in their order; BOS is left out.

    ``sites``: those of them side by side, [n, len(sites)·d_in], from one run; None: the host's own.
    From row ``first`` on, in the batches of a call that begins with row 0: its activations are the same to the bit.
    """
    at = [host.site] if sites is None else sites
    skipped = first // BATCH * BATCH
    rest = rows._replace(rows=rows.rows[skipped:])
    for members, ids in progress(batches(rest, BATCH), -(-len(rest.rows) // BATCH), what):
        captured = torch.cat(host.captures(torch.from_numpy(ids), at), dim=-1).cpu()
        for index, (row, x) in enumerate(zip(members, captured, strict=True), skipped):
            if index >= first:
                yield row, x[int(rows.bos) : len(row.ids)]
        skipped += BATCH


def load_model(path: Path | str) -> Any:
    """The Hugging Face model in ``path``, in fp32.

    Raises:
        ValueError: there is none, its weights are truncated, or parameters are missing from them.
    """
    if not Path(path).exists():  # a name on the hub
        network.look()
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
