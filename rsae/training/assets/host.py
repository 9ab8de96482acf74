"""Train the embedded host: a GPT-2-shaped causal model on the ``host_train`` docstrings."""

import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from rsae.config.assets import HostRecipe
from rsae.data.text.documents import Document
from rsae.data.text.tokens import Row, TokenRows, batches, tokenise

BOS, BOS_ID = "<|bos|>", 0  # special tokens come first in the vocabulary


def train_tokenizer(texts: list[str], vocab: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE of ``vocab`` entries whose id 0 is BOS (as in Pythia, where 0 is a token)."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=[BOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token=BOS, eos_token=BOS)


def train_host(
    recipe: HostRecipe,
    seed: int,
    train: list[Document],
    validation: list[Document],
    out: Path,
) -> dict[str, object]:
    """Train by AdamW with warm-up and cosine decay; write a Hugging Face directory to ``out``.

    Returns the facts for the card: tokens seen, distinct tokens, validation CE (nats per token)
    along the way.
    """
    torch.manual_seed(seed)
    tokenizer = train_tokenizer([d.text for d in train], recipe.vocab)
    rows = tokenise([d[:2] for d in train], tokenizer, ctx=recipe.ctx, bos=True)
    held_out = tokenise([d[:2] for d in validation], tokenizer, ctx=recipe.ctx, bos=True)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=recipe.vocab,
            n_positions=recipe.ctx,
            n_embd=recipe.d_model,
            n_layer=recipe.n_layer,
            n_head=recipe.n_head,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=BOS_ID,
            eos_token_id=BOS_ID,
        )
    )
    decay = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decay, "weight_decay": recipe.weight_decay}, {"params": rest, "weight_decay": 0.0}],
        lr=recipe.lr,
        betas=(0.9, 0.98),
        fused=True,
    )
    warmup = max(1, recipe.steps // 25)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda s: min((s + 1) / warmup, 0.02 + 0.49 * (1 + math.cos(math.pi * s / recipe.steps))),
    )
    stream = _epochs(rows, recipe.batch, np.random.default_rng(seed))
    seen, curve, start = 0, [], time.monotonic()
    for step in range(1, recipe.steps + 1):
        members, ids = next(stream)
        loss = _ce_sum(model, members, ids, recipe.autocast) / _n_predicted(members)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        schedule.step()
        seen += _n_predicted(members)
        if step % max(1, recipe.steps // 25) == 0 or step == recipe.steps:
            ce = validation_ce(model, held_out)
            curve.append({"step": step, "tokens": seen, "validation_ce": round(ce, 4)})
            rate = seen / (time.monotonic() - start)
            print(f"step {step}/{recipe.steps} train {loss.item():.3f} valid {ce:.3f} {rate:.0f} tok/s", flush=True)
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens_seen": seen,
        "tokens_distinct": rows.n_tok,
        "tokens_validation": held_out.n_tok,
        "curve": curve,
    }


@torch.no_grad()
def validation_ce(model: GPT2LMHeadModel, held_out: TokenRows) -> float:
    """Nats per predicted token over all rows, fp32."""
    total = sum(float(_ce_sum(model, members, ids, False)) for members, ids in batches(held_out, 64))
    return total / _n_predicted(held_out.rows)


def _n_predicted(rows: list[Row]) -> int:
    return sum(len(r.ids) - 1 for r in rows)


def _ce_sum(model: GPT2LMHeadModel, rows: list[Row], ids: np.ndarray, autocast: bool) -> torch.Tensor:
    labels = ids[:, 1:].copy()
    for i, row in enumerate(rows):
        labels[i, len(row.ids) - 1 :] = -100
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        logits = model(torch.from_numpy(ids[:, :-1])).logits
    return nn.functional.cross_entropy(
        logits.float().flatten(0, 1), torch.from_numpy(labels).flatten(), reduction="sum"
    )


def _epochs(rows: TokenRows, batch: int, rng: np.random.Generator) -> Iterator[tuple[list[Row], np.ndarray]]:
    while True:
        order = rng.permutation(len(rows.rows))
        shuffled = TokenRows([rows.rows[i] for i in order], rows.bos)
        yield from (b for b in batches(shuffled, batch) if len(b[0]) == batch)
