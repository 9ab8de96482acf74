"""Activations for the training of the embedded teachers: tokens and harvest in one go."""

import tempfile
from pathlib import Path

from rsae.stages.inputs import harvest, tokens


def run(text: Path, host: Path, out: Path, checkpoints: Path, *, hook: str, ctx: int, n_shards: int) -> None:
    """Every token of ``text`` but BOS."""
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "tokens.parquet"
        tokens.run(text, host, rows, ctx=ctx, bos=True, max_tok=None, max_rows_per_document=None)
        site = {"hook": hook, "center_writing_weights": False}
        harvest.run(rows, host, [out], checkpoints, sites=[site], dtype="float16", n_shards=n_shards)
