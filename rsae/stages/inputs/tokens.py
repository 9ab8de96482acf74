"""Documents to token rows."""

import tempfile
from pathlib import Path

from datasets import Dataset

from rsae.data.text import tokens
from rsae.data.text.tokenizer import load_tokenizer
from rsae.runtime.files import read_sealed, sha256


def run(
    text: Path, host: Path, out: Path, *, ctx: int, bos: bool, max_tok: int | None, max_rows_per_document: int | None
) -> None:
    """Read JSON lines (name, text) with ``datasets``, write rows of at most ``ctx`` ids.

    Raises:
        ValueError: the text is not what its manifest says, or see :func:`rsae.data.text.tokens.tokenise`.
    """
    made = sha256(text)
    manifest, remedy = text.with_name("manifest.json"), f"delete the folder {text.parent} and run again"
    if read_sealed(manifest, remedy)[text.stem]["sha256"] != made:
        raise ValueError(f"{text} has another sha256 than {manifest} says; {remedy}")
    with tempfile.TemporaryDirectory() as cache:
        source = Dataset.from_json(str(text), cache_dir=cache, keep_in_memory=True)
        documents = list(zip(source["name"], source["text"], strict=True))  # type: ignore[index]
    rows = tokens.tokenise(
        documents,
        load_tokenizer(host),
        ctx=ctx,
        bos=bos,
        max_tok=max_tok,
        max_rows_per_document=max_rows_per_document,
    )
    tokens.write(out, rows, {"text": text.name, "sha256": made, "ctx": ctx, "bos": bos})
    print(f"{text.stem}: {rows.n_tok} tokens in {len(rows.rows)} rows")
