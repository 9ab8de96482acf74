"""Activations of a host, ours against sae_lens's store: the small embedded host, and layers of GPT-2 small's shape."""

import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from sae_lens.training.activations_store import ActivationsStore
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens.model_bridge import TransformerBridge
from transformers import GPT2Config, GPT2LMHeadModel

from benchmarks.timing import Goal, alternate, row
from rsae.data.activations.host import HookPoint, Host
from rsae.data.text.tokenizer import load_tokenizer

EMBEDDED = Path("assets/embedded/host")
GOAL = Goal(1.6, True)
CTX = 128


def gpt2_small(folder: Path, n_layer: int) -> Path:
    """Random weights of GPT-2 small's width: what they are costs nothing."""
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=2048, n_layer=n_layer, bos_token_id=0, eos_token_id=0)
    GPT2LMHeadModel(config).save_pretrained(folder)
    load_tokenizer(EMBEDDED).save_pretrained(folder)
    return folder


def hooked(path: Path) -> Any:
    """A model of the same shape in the class that sae_lens's runner takes by default."""
    c: Any = GPT2Config.from_pretrained(path)
    cfg = HookedTransformerConfig(
        n_layers=c.n_layer, d_model=c.n_embd, n_ctx=c.n_positions, d_head=c.n_embd // c.n_head, n_heads=c.n_head,
        d_vocab=c.vocab_size, act_fn="gelu_new", normalization_type="LN", device="cpu",
    )  # fmt: skip
    return HookedTransformer(cfg, tokenizer=load_tokenizer(path))


def bridge(path: Path) -> Any:
    """The host in transformer_lens's newer class."""
    found: Any = TransformerBridge.boot_transformers(
        str(path), hf_model=GPT2LMHeadModel.from_pretrained(path), tokenizer=load_tokenizer(path), device="cpu"
    )
    found.enable_compatibility_mode(no_processing=True)
    return found


def store(model: Any, hook: str, ids: torch.Tensor, d_in: int, batch: int) -> ActivationsStore:
    """sae_lens's, over token ids."""
    return ActivationsStore(
        model, Dataset.from_dict({"tokens": ids.tolist()}), streaming=False, hook_name=hook, hook_head_index=None,
        context_size=ids.shape[1], d_in=d_in, n_batches_in_buffer=8, total_training_tokens=ids.numel(),
        store_batch_size_prompts=batch, train_batch_size_tokens=4096, prepend_bos=False, normalize_activations="none",
        device=torch.device("cpu"), dtype="float32",
    )  # fmt: skip


def compare(path: Path, hooks: list[str], what: str, n_row: int, batch: int, rounds: int) -> list[dict]:
    """Times that ours is faster: one run for all sites, where a store of sae_lens's has one site."""
    host, sites = Host(path, hooks[0]), [HookPoint(hook) for hook in hooks]
    ids = torch.randint(1, 2048, (n_row, CTX), generator=torch.Generator().manual_seed(0))
    d_in = host.capture(ids[:1]).shape[2]
    theirs: dict[str, list[ActivationsStore]] = {}
    for name, make in PEERS.items():
        model = make(path)
        theirs[name] = [store(model, hook, ids, d_in, batch) for hook in hooks]

    def run(name: str) -> None:
        for one in theirs[name]:
            for _ in range(n_row // batch):
                one.get_raw_llm_batch()

    contestants: dict[str, Any] = {name: lambda name=name: run(name) for name in PEERS}
    contestants["ours"] = lambda: [host.captures(rows, sites) for rows in ids.split(batch)]
    seconds = alternate(contestants, rounds)
    return [
        row(f"harvest of {what}, times faster than sae_lens's store over a {name}", seconds, "ours", name, GOAL)
        for name in PEERS
    ]


PEERS = {"HookedTransformer": hooked, "TransformerBridge": bridge}


def run() -> list[dict]:
    """All stop behind the hook."""
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        small = gpt2_small(Path(name), n_layer=3)
        return [
            *compare(EMBEDDED, ["blocks.1.hook_resid_post"], "the embedded host", 32, 32, 7),
            *compare(small, ["blocks.2.hook_resid_post"], "three layers of GPT-2 small", 8, 8, 5),
            *compare(small, [f"blocks.{i}.hook_resid_post" for i in range(3)], "each of these layers", 8, 8, 5),
        ]
