"""Small tables as Parquet files that vouch for themselves: a digest of all values stands in the metadata."""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rsae.runtime.files import REDO, SEAL, canonical, reading, replacing


def write(path: Path | str, table: pa.Table, metadata: Mapping[str, str]) -> None:
    """One compressed file, whole or not at all."""
    metadata = dict(metadata)
    # what a reader will see is digested, for Parquet renames the fields of lists
    seen = io.BytesIO()
    pq.write_table(table, seen, compression="zstd")
    metadata[SEAL] = _digest(pq.read_table(seen), metadata)
    with replacing(path) as temporary:
        pq.write_table(table.replace_schema_metadata(metadata), temporary, compression="zstd")


def read(path: Path | str, remedy: str = REDO) -> tuple[pa.Table, dict[str, str]]:
    """Inverse of :func:`write`: the table and its metadata.

    Raises:
        ValueError: missing, truncated, altered, or made by an older version.
    """
    with reading(path, remedy):
        table = pq.read_table(path)
        metadata = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
        if SEAL not in metadata:
            raise ValueError("no digest in it: it was made by an older version, or by something else")
        if metadata.pop(SEAL) != _digest(table, metadata):
            raise ValueError("its content differs from its digest")
    return table, metadata


def _digest(table: pa.Table, metadata: Mapping[str, str]) -> str:
    hasher = hashlib.sha256(canonical(dict(metadata)).encode())
    stream = pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, table.schema.remove_metadata()) as writer:
        writer.write_table(table.combine_chunks())
    hasher.update(stream.getvalue())
    return hasher.hexdigest()
