"""Documents to token rows: built here, never by a library's default, for BOS changes numbers."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from rsae.runtime import parquet
from rsae.runtime.caller import word
from rsae.runtime.files import canonical

SCHEMA = pa.schema(
    [
        pa.field("document", pa.int32(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("ids", pa.list_(pa.int32()), nullable=False),
    ]
)


class Row(NamedTuple):
    """One sequence the host reads: ``ids[0]`` is BOS where the policy says so, and only there."""

    document: int
    name: str
    ids: np.ndarray


class TokenRows(NamedTuple):
    """All rows of one split with the policy under which they were made."""

    rows: list[Row]
    bos: bool

    @property
    def n_tok(self) -> int:
        """Tokens of text; BOS is not counted, for no activation is taken there."""
        return sum(len(r.ids) - self.bos for r in self.rows)

    def find(self, n: int) -> tuple[int, int]:
        """The row that token number ``n`` of text stands in, and how many of that row's come before it."""
        for index, row in enumerate(self.rows):
            if n < len(row.ids) - self.bos:
                return index, n
            n -= len(row.ids) - self.bos
        return len(self.rows), 0


def tokenise(
    documents: Sequence[tuple[str, str]],
    tokenizer: Any,
    *,
    ctx: int,
    bos: bool,
    max_tok: int | None = None,
    max_rows_per_document: int | None = None,
    short: bool = False,
) -> TokenRows:
    """Cut each (name, text) into rows of at most ``ctx`` ids, document by document.

    No row spans two documents. Stops at the first whole document that reaches ``max_tok`` tokens; with ``short``, a
    text that holds fewer is taken as it is. A text is text: what looks like one of the tokenizer's marks
    (``<|endoftext|>``) is split like any other word, and counted in the log.

    Raises:
        ValueError: a document is empty or holds what no encoding can write, the tokenizer has no BOS though one is
            asked for, or the text is exhausted before ``max_tok`` tokens.
    """
    bos_id = tokenizer.bos_token_id
    if bos and bos_id is None:
        raise ValueError(f"rows begin with BOS, but the host's tokenizer has no BOS token; {word('read without BOS')}")
    width = ctx - bos
    rows: list[Row] = []
    n_tok = marks = 0
    mark = re.compile("|".join(map(re.escape, tokenizer.all_special_tokens)) or "(?!)")
    for index, (name, text) in enumerate(documents):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"document {index} ({name!r}) holds a lone surrogate, half a character, at {error.start}; remove it"
            ) from None
        marks += len(mark.findall(text))
        ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]
        if not ids:
            raise ValueError(f"document {index} ({name!r}) is empty; remove it from the text")
        pieces = [ids[i : i + width] for i in range(0, len(ids), width)][:max_rows_per_document]
        for piece in pieces:
            rows.append(Row(index, name, np.array([bos_id, *piece] if bos else piece, np.int32)))
            n_tok += len(piece)
        if max_tok is not None and n_tok >= max_tok:
            break
    else:
        if max_tok is not None and n_tok < max_tok and not short:
            raise ValueError(f"the text holds {n_tok} tokens, fewer than the {max_tok} asked for")
    if marks:
        print(f"{marks} places in the text look like marks of the tokenizer; they are read as text")
    return TokenRows(rows, bos)


def write(path: Path | str, tokens: TokenRows, made_from: Any) -> None:
    """One Parquet file; ``made_from`` (a JSON value) and the BOS policy stand in its metadata."""
    metadata = {"bos": canonical(tokens.bos), "made_from": canonical(made_from)}
    table = pa.table(
        {
            "document": [r.document for r in tokens.rows],
            "name": [r.name for r in tokens.rows],
            "ids": [r.ids for r in tokens.rows],
        },
        schema=SCHEMA,
    )
    parquet.write(path, table, metadata)


def read(path: Path | str) -> TokenRows:
    """Inverse of :func:`write`.

    Raises:
        ValueError: not a whole token file of this project.
    """
    table, metadata = parquet.read(path)
    if not table.schema.equals(SCHEMA):
        raise ValueError(f"{path}: columns {table.column_names}, expected {SCHEMA.names}")
    columns = (table.column(c).to_pylist() for c in SCHEMA.names)
    rows = [Row(d, n, np.array(i, np.int32)) for d, n, i in zip(*columns, strict=True)]
    return TokenRows(rows, metadata["bos"] == "true")


def batches(tokens: TokenRows, batch: int) -> Iterator[tuple[list[Row], np.ndarray]]:
    """Rows in order, right-padded with id 0 to the longest of their batch: (rows, ids [b, len]).

    Right padding is invisible to a causal model at the positions that hold text, so no attention
    mask is needed; whoever reads the outputs must read ``ids[:len(row.ids)]`` only.
    """
    for start in range(0, len(tokens.rows), batch):
        rows = tokens.rows[start : start + batch]
        ids = np.zeros((len(rows), max(len(r.ids) for r in rows)), np.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row.ids)] = row.ids
        yield rows, ids
