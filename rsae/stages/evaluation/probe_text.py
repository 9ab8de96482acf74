"""Sparse probes on the classes of a labelled text, such as SAEBench's datasets, for every SAE of a pair."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rsae.data.activations.host import Host, activations
from rsae.data.activations.shards import Block
from rsae.data.text import tokens
from rsae.data.text.documents import Document
from rsae.data.text.tokenizer import load_tokenizer
from rsae.evaluate.labels import Examples
from rsae.runtime.device import set_up_torch
from rsae.stages.evaluation.probe import Side, judge


def run(
    train_text: Path,
    test_text: Path,
    host: Path,
    saes: Mapping[tuple[str, int], Path],
    out: Path,
    *,
    name: str,
    hook: str,
    center_writing_weights: bool,
    ctx: int,
    bos: bool,
    most: int,
    seed: int,
) -> None:
    """An example is the first ``ctx`` ids of a document, at most ``most`` documents of either side.

    Raises:
        ValueError: the text has no labels.
    """
    set_up_torch()
    model, tokenizer = Host(host, hook, center_writing_weights), load_tokenizer(host)
    learnt, judged = (side(path, model, tokenizer, name, ctx, bos, most) for path in (train_text, test_text))
    judge(learnt, judged, saes, out, seed)


def side(text: Path, host: Host, tokenizer: Any, name: str, ctx: int, bos: bool, most: int) -> Side:
    """The examples of a labelled text, at most ``most``, and the host's activations on them.

    Raises:
        ValueError: a document has no label.
    """
    documents = [Document(**json.loads(line)) for line in text.read_text(encoding="utf-8").splitlines()][:most]
    if not all(document.label for document in documents):
        raise ValueError(f"{text} has documents without a label; set `label` in config/text/{name}.yaml")
    rows = tokens.tokenise([(d.name, d.text) for d in documents], tokenizer, ctx=ctx, bos=bos, max_rows_per_document=1)
    x = [values.numpy() for _, values in activations(host, rows, f"probe {name}")]
    length = np.array([len(part) for part in x])
    document = np.repeat(np.arange(len(x), dtype=np.int32), length)
    position = np.concatenate([np.arange(n, dtype=np.int32) for n in length])
    labels = {name: np.array([d.label for d in documents])}
    examples = Examples(np.arange(len(x)), np.zeros(len(x), int), length, labels)
    return Side(Block(document, position, np.concatenate(x)), examples, len(x))
