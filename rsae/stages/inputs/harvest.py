"""Residual activations of one split at some sites, to Parquet shards."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rsae.data.activations import shard_writer, shards
from rsae.data.activations.host import HookPoint, Host, activations
from rsae.data.text import tokens
from rsae.runtime.checkpoint import until_done
from rsae.runtime.device import set_up_torch
from rsae.runtime.files import digest, sha256
from rsae.runtime.fingerprint import code_digest


def run(
    token_file: Path,
    host: Path,
    out: Sequence[Path],
    checkpoints: Path,
    *,
    sites: Sequence[Mapping[str, Any]],
    dtype: str,
    n_shards: int,
) -> None:
    """Read token rows, write activations for every position of text (BOS left out), of each site to its folder.

    A site is a ``hook``, with ``center_writing_weights`` or without. The host is run once for all of them.

    Killed, the same call continues after the last shard that it had finished in ``checkpoints``.
    """
    set_up_torch()
    source = tokens.read(token_file)
    at = [HookPoint(site["hook"], site["center_writing_weights"]) for site in sites]
    model, what = Host(host, *at[0]), f"harvest {out[0].name}"
    names = {row.document: row.name for row in source.rows}
    targets = [
        shard_writer.Target(folder, site["hook"], {"host": host.name, **site})
        for folder, site in zip(out, sites, strict=True)
    ]
    form = {"n_shards": n_shards, "dtype": dtype}
    data = {"tokens": sha256(token_file), "host": model.digests()}
    key = digest({"made_from": [t.made_from for t in targets], **form, **data, "code": code_digest(__name__)})

    def blocks(n_done: int) -> Iterator[shards.Block]:
        first, within = source.find(n_done)
        offset: dict[int, int] = {}
        for row in source.rows[:first]:
            offset[row.document] = offset.get(row.document, 0) + len(row.ids) - source.bos
        for row, x in activations(model, source, what, first, at):
            start = offset.get(row.document, 0)
            offset[row.document] = start + len(x)
            document = np.full(len(x), row.document, np.int32)
            position = np.arange(start, start + len(x), dtype=np.int32)
            yield shards.Block(document[within:], position[within:], x.numpy()[within:])
            within = 0

    with until_done(checkpoints):
        unfinished = shard_writer.Unfinished(checkpoints / "shards", key, len(targets))
        if unfinished.shards:
            print(f"{what}: continues after shard {len(unfinished.shards)} of {n_shards}", flush=True)
        shard_writer.write_all(
            targets,
            blocks(unfinished.n_tok),
            n_tok=source.n_tok,
            **form,
            documents=[names[i] for i in range(len(names))],
            unfinished=unfinished,
        )
