"""Residual activations of one split, to Parquet shards."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rsae import shards, tokens
from rsae.hosts import Host, activations
from rsae.stages.common import set_up_torch


def run(
    token_file: Path,
    host: Path,
    out: Path,
    *,
    hook: str,
    dtype: str,
    n_shards: int,
    center_writing_weights: bool = False,
) -> None:
    """Read token rows, write activations at ``hook`` for every position of text (BOS left out)."""
    set_up_torch()
    source = tokens.read(token_file)
    model = Host(host, hook, center_writing_weights)
    names = {row.document: row.name for row in source.rows}

    def blocks() -> Iterator[shards.Block]:
        offset: dict[int, int] = {}
        for row, x in activations(model, source, f"harvest {out.name}"):
            start = offset.get(row.document, 0)
            offset[row.document] = start + len(x)
            document = np.full(len(x), row.document, np.int32)
            position = np.arange(start, start + len(x), dtype=np.int32)
            yield shards.Block(document, position, x.numpy())

    shards.write(
        out,
        blocks(),
        n_tok=source.n_tok,
        n_shards=n_shards,
        dtype=dtype,
        hook=hook,
        documents=[names[i] for i in range(len(names))],
        made_from={"host": host.name, "hook": hook, "center_writing_weights": center_writing_weights},
    )
