"""Activations to shards: whole or not at all, every value looked at, continued after an interruption."""

import itertools
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rsae.data.activations.shards import ACTIVATION, DOCUMENT, DTYPES, POSITION, ROW_GROUP, VERSION, Block, group_rows
from rsae.runtime.files import canonical, read_sealed, replacing, sealed, sha256, write_json

PAGE = 1 << 30  # bytes, at most: more than a row group has


class Target(NamedTuple):
    """A folder of shards that is to be written."""

    folder: Path
    hook: str
    made_from: Any


class Unfinished:
    """Whole shards in a folder that :func:`write_all` fills, and from which the next call goes on if it is interrupted.

    Each of ``n_targets`` has a folder in it. ``key`` is a digest of all that the rows follow from: what was kept under
    another is deleted.
    """

    RECORD = "unfinished.json"

    def __init__(self, folder: Path, key: str, n_targets: int = 1) -> None:
        self.folder, self.key = folder, key
        self.folders = [folder / str(i) for i in range(n_targets)]
        for place in self.folders:
            place.mkdir(parents=True, exist_ok=True)
        self.shards = list(self._kept())  # for each shard an entry per target
        whole = {
            place / entry["file"] for shard in self.shards for place, entry in zip(self.folders, shard, strict=True)
        }
        for path in [p for p in folder.rglob("*") if p.is_file()]:
            if path not in whole and path != folder / self.RECORD:
                path.unlink()

    def _kept(self) -> Iterator[list[dict[str, Any]]]:
        try:
            record = read_sealed(self.folder / self.RECORD)
        except ValueError:  # none, or a damaged one
            return
        for shard in record["shards"] if record["key"] == self.key else []:
            for place, entry in zip(self.folders, shard, strict=True):
                path = place / entry["file"]
                if not path.is_file() or sha256(path) != entry["sha256"]:
                    return
            yield shard

    @property
    def n_tok(self) -> int:
        """Rows that need not come again."""
        return sum(shard[0]["rows"] for shard in self.shards)

    @property
    def d_in(self) -> int:
        """Width of the rows, once there are any."""
        return int(pq.read_schema(self.folders[0] / self.shards[0][0]["file"]).metadata[b"d_in"])

    def write(self, groups: Iterator[Block], rows: int, dtype: str, hooks: Sequence[str]) -> None:
        """The next shard of each target, of ``rows`` rows that come in row groups."""
        name, first = f"shard-{len(self.shards):05d}.parquet", next(groups)
        schemas = [_schema(dtype, first.x.shape[1] // len(hooks), hook) for hook in hooks]
        paths = [place / name for place in self.folders]
        with ExitStack() as stack:
            writers = [
                stack.enter_context(_writer(stack.enter_context(replacing(path)), schema))
                for path, schema in zip(paths, schemas, strict=True)
            ]
            # each as soon as it is full: memory holds one row group, however many rows a shard has
            for group in itertools.chain([first], groups):
                parts = np.split(group.x, len(hooks), axis=1)
                for writer, schema, x in zip(writers, schemas, parts, strict=True):
                    writer.write_table(_table(group._replace(x=x), schema), row_group_size=ROW_GROUP)
        self.shards.append([{"file": name, "rows": rows, "sha256": sha256(path)} for path in paths])
        write_json(self.folder / self.RECORD, sealed({"key": self.key, "shards": self.shards}))


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(
        path,
        schema,
        compression="none",
        use_dictionary=False,
        write_statistics=False,
        data_page_size=PAGE,
        max_rows_per_page=ROW_GROUP,
    )


def write(folder: Path | str, blocks: Iterable[Block], *, hook: str, made_from: Any, **form: Any) -> None:
    """:func:`write_all` of one folder."""
    write_all([Target(Path(folder), hook, made_from)], blocks, **form)


def write_all(
    targets: Sequence[Target],
    blocks: Iterable[Block],
    *,
    n_tok: int,
    n_shards: int,
    dtype: str,
    documents: list[str],
    unfinished: Unfinished | None = None,
) -> None:
    """Write ``n_tok`` rows as exactly ``n_shards`` files plus the manifest into each folder, whole or not at all.

    ``x`` of a block holds the activations of all targets side by side, [n, len(targets)·d_in].
    With ``unfinished``, what an interrupted call has finished is taken over, and ``blocks`` are the rows after it.
    Only where the process ends while the whole folders are put in place, the next call begins again.

    Raises:
        ValueError: an activation is not finite, or leaves the range of ``dtype`` (fp16 ends at
            65504); the message names hook, document and position.
    """
    if n_shards > n_tok:
        raise ValueError(f"n_shards={n_shards} exceeds the {n_tok} tokens of {targets[0].folder}; ask for fewer")
    hooks = [target.hook for target in targets]
    shard_rows = [n_tok * (i + 1) // n_shards - n_tok * i // n_shards for i in range(n_shards)]
    with ExitStack() as stack:
        temporary = [stack.enter_context(replacing(target.folder)) for target in targets]
        work = unfinished or stack.enter_context(_passing(temporary[0], len(targets)))
        missing = shard_rows[len(work.shards) :]
        groups = _recut(_checked(blocks, dtype, documents, hooks), [n for rows in missing for n in group_rows(rows)])
        for rows in missing:
            work.write(itertools.islice(groups, len(group_rows(rows))), rows, dtype, hooks)
        next(groups, None)  # says so if rows are left
        for i, (target, folder) in enumerate(zip(targets, work.folders, strict=True)):
            manifest = {
                "version": VERSION,
                "dtype": dtype,
                "d_in": work.d_in,
                "hook": target.hook,
                "n_tok": n_tok,
                "documents": documents,
                "shards": [shard[i] for shard in work.shards],
                "made_from": target.made_from,
            }
            (folder / "manifest.json").write_text(canonical(sealed(manifest)) + "\n", encoding="utf-8")
        for folder, new in zip(work.folders, temporary, strict=True):
            folder.rename(new)
        shutil.rmtree(work.folder)


@contextmanager
def _passing(beside: Path, n_targets: int) -> Iterator[Unfinished]:
    """What nobody goes on from: it is gone in the end."""
    folder = beside.with_name(beside.name + ".shards")  # an error's file name begins with that of what is written
    try:
        yield Unfinished(folder, "", n_targets)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _checked(blocks: Iterable[Block], dtype: str, documents: list[str], hooks: Sequence[str]) -> Iterator[Block]:
    limit = float(np.finfo(DTYPES[dtype]).max)
    for block in blocks:
        # NaN fails every comparison, so it is caught by the same test as an overflow
        bad = ~(np.abs(block.x) <= limit).all(axis=1)
        if bad.any():
            i = int(np.argmax(bad))
            column = int(np.argmax(~(np.abs(block.x[i]) <= limit)))
            name, value = documents[block.document[i]], block.x[i, column]
            hook = hooks[column * len(hooks) // block.x.shape[1]]
            where = f"{hook}, document {name!r}, position {block.position[i]}"
            if np.isfinite(value):
                raise ValueError(
                    f"activation {value:g} at {where} leaves the range of {dtype} (±{limit:g});"
                    " set `dtype: float32` for this host"
                )
            raise ValueError(f"activation {value} at {where} is not finite; the host is broken there")
        yield block


def _recut(blocks: Iterable[Block], sizes: Sequence[int]) -> Iterator[Block]:
    """Regroup blocks so that group i has ``sizes[i]`` rows."""
    announced, seen, group, index = sum(sizes), 0, [], 0
    missing = sizes[0] if sizes else 0
    for block in blocks:
        while len(block.x):
            if index == len(sizes):
                raise ValueError(f"more than the {announced} rows announced")
            take = min(len(block.x), missing)
            group.append(Block(*(c[:take] for c in block)))
            block = Block(*(c[take:] for c in block))
            seen, missing = seen + take, missing - take
            if not missing:
                yield Block(*(np.concatenate(c) for c in zip(*group, strict=True)))
                group, index = [], index + 1
                missing = sizes[index] if index < len(sizes) else 0
    if seen != announced:
        raise ValueError(f"{seen} rows came, {announced} were announced")


def _schema(dtype: str, d_in: int, hook: str) -> pa.Schema:
    width = np.dtype(DTYPES[dtype]).itemsize * d_in
    return pa.schema(
        [
            pa.field(DOCUMENT, pa.int32(), nullable=False),
            pa.field(POSITION, pa.int32(), nullable=False),
            pa.field(ACTIVATION, pa.binary(width), nullable=False),
        ],
        metadata={"dtype": dtype, "d_in": str(d_in), "hook": hook},
    )


def _table(block: Block, schema: pa.Schema) -> pa.Table:
    dtype = DTYPES[schema.metadata[b"dtype"].decode()]
    raw = pa.py_buffer(np.ascontiguousarray(block.x.astype(dtype)))
    column = pa.FixedSizeBinaryArray.from_buffers(schema.field(ACTIVATION).type, len(block.x), [None, raw])
    return pa.table([block.document, block.position, column], schema=schema)
