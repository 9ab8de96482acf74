"""Residual activations of one split, to Parquet shards."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rsae import shards, tokens
from rsae.checkpoint import until_done
from rsae.files import digest, sha256
from rsae.hosts import Host, activations
from rsae.provenance import code_digest
from rsae.stages.common import set_up_torch


def run(
    token_file: Path,
    host: Path,
    out: Path,
    checkpoints: Path,
    *,
    hook: str,
    dtype: str,
    n_shards: int,
    center_writing_weights: bool = False,
) -> None:
    """Read token rows, write activations at ``hook`` for every position of text (BOS left out).

    Killed, the same call continues after the last shard that it had finished in ``checkpoints``.
    """
    set_up_torch()
    source = tokens.read(token_file)
    model = Host(host, hook, center_writing_weights)
    names = {row.document: row.name for row in source.rows}
    made_from = {"host": host.name, "hook": hook, "center_writing_weights": center_writing_weights}
    form = {"n_shards": n_shards, "dtype": dtype}
    data = {"tokens": sha256(token_file), "host": model.digests()}
    key = digest({**made_from, **form, **data, "code": code_digest(__name__)})

    def blocks(n_done: int) -> Iterator[shards.Block]:
        first, within = source.find(n_done)
        offset: dict[int, int] = {}
        for row in source.rows[:first]:
            offset[row.document] = offset.get(row.document, 0) + len(row.ids) - source.bos
        for row, x in activations(model, source, f"harvest {out.name}", first):
            start = offset.get(row.document, 0)
            offset[row.document] = start + len(x)
            document = np.full(len(x), row.document, np.int32)
            position = np.arange(start, start + len(x), dtype=np.int32)
            yield shards.Block(document[within:], position[within:], x.numpy()[within:])
            within = 0

    with until_done(checkpoints):
        unfinished = shards.Unfinished(checkpoints / "shards", key)
        if unfinished.shards:
            print(f"harvest {out.name}: continues after shard {len(unfinished.shards)} of {n_shards}", flush=True)
        shards.write(
            out,
            blocks(unfinished.n_tok),
            n_tok=source.n_tok,
            n_shards=n_shards,
            dtype=dtype,
            hook=hook,
            documents=[names[i] for i in range(len(names))],
            made_from=made_from,
            unfinished=unfinished,
        )
