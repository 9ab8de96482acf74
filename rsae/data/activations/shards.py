"""Activations on disk: Parquet shards of fixed-size rows, and a manifest that vouches for them.

Rows are ``FixedSizeBinary`` without compression, dictionary or statistics, in row groups of 8K of one page each:
any reader of Parquet reads them, and here a row group is a stretch of a file. What the bytes mean (dtype,
d_in, hook) stands in each shard's schema metadata and in ``manifest.json``, together with a sha256 per shard.
"""

import itertools
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rsae.runtime.files import canonical, read_sealed, reading, replacing, sealed, sha256, write_json

ROW_GROUP = 8192
PAGE = 1 << 30  # bytes, at most: more than a row group has
HEADER = 128  # bytes in front of a page, at most
VERSION = 3
REDO = "delete the folder and run harvest again"
DOCUMENT, POSITION, ACTIVATION = "document", "position", "activation"
DTYPES = {"float16": np.float16, "float32": np.float32}


class Block(NamedTuple):
    """Rows in harvest order: which document, which position in its text, which activation."""

    document: np.ndarray  # int32 [n]
    position: np.ndarray  # int32 [n]
    x: np.ndarray  # float16 or float32 [n, d_in]


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
        groups = _recut(_checked(blocks, dtype, documents, hooks), [n for rows in missing for n in _group_rows(rows)])
        for rows in missing:
            work.write(itertools.islice(groups, len(_group_rows(rows))), rows, dtype, hooks)
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
            (folder / "manifest.json").write_text(canonical(sealed(manifest)) + "\n")
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


def _group_rows(rows: int) -> list[int]:
    """Rows of each row group of a shard."""
    return [min(ROW_GROUP, rows - start) for start in range(0, rows, ROW_GROUP)]


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


def _table(block: Block, schema: pa.Schema) -> pa.Table:
    dtype = DTYPES[schema.metadata[b"dtype"].decode()]
    raw = pa.py_buffer(np.ascontiguousarray(block.x.astype(dtype)))
    column = pa.FixedSizeBinaryArray.from_buffers(schema.field(ACTIVATION).type, len(block.x), [None, raw])
    return pa.table([block.document, block.position, column], schema=schema)


class Shards:
    """A finished folder of shards, opened for reading.

    Raises:
        ValueError: the manifest is missing or malformed, a shard is missing, truncated or altered.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        path = self.folder / "manifest.json"
        self.manifest = read_sealed(path, REDO)
        with reading(path, REDO):
            if self.manifest["version"] != VERSION:
                raise ValueError(f"version {self.manifest['version']}, expected {VERSION}")
            self.d_in, self.n_tok = int(self.manifest["d_in"]), int(self.manifest["n_tok"])
            self.documents: list[str] = list(self.manifest["documents"])
            self._dtype = DTYPES[self.manifest["dtype"]]
            self._entries = [(str(e["file"]), int(e["rows"]), e["sha256"]) for e in self.manifest["shards"]]
        if sum(rows for _, rows, _ in self._entries) != self.n_tok:
            raise ValueError(f"{self.folder}/manifest.json: rows do not add up to n_tok; {REDO}")

        if any(Path(name).name != name for name, _, _ in self._entries):
            raise ValueError(f"{self.folder}/manifest.json names a file outside of the folder; {REDO}")
        self._widths = (4, 4, self.row_bytes)  # bytes of a row in each column
        self._ends: dict[int, list[list[int]]] = {}  # of shards that were opened, see _verify
        # row group by row group, in harvest order: which shard, which group of it, how many rows
        self._places = [
            (shard, group, size)
            for shard, (_, rows, _) in enumerate(self._entries)
            for group, size in enumerate(_group_rows(rows))
        ]

    @property
    def groups(self) -> list[int]:
        """Rows of each row group, in harvest order."""
        return [rows for _, _, rows in self._places]

    @property
    def row_bytes(self) -> int:
        """Of one activation."""
        return np.dtype(self._dtype).itemsize * self.d_in

    def __len__(self) -> int:  # noqa: D105
        return self.n_tok

    def blocks(self) -> Iterator[Block]:
        """All rows in harvest order, one row group at a time: mapped, not writable, and read when touched."""
        for block in self._read(range(len(self._places))):
            if block.document.min() < 0 or block.document.max() >= len(self.documents):
                raise ValueError(f"{self.folder}: a row is of a document that the manifest does not name; {REDO}")
            yield block

    def load(self) -> Block:
        """Everything at once: ``n_tok`` rows of ``d_in`` numbers in memory."""
        whole = Block(
            np.empty(self.n_tok, np.int32),
            np.empty(self.n_tok, np.int32),
            np.empty((self.n_tok, self.d_in), self._dtype),
        )
        done = 0
        for block in self.blocks():
            for column, part in zip(whole, block, strict=True):
                column[done : done + len(part)] = part
            done += len(block.x)
        return whole

    def space(self, rows: int) -> np.ndarray:
        """Room for so many activations, to be filled again and again: [rows, d_in] of the dtype on disk."""
        return np.empty((rows, self.d_in), self._dtype)

    def activations(self, groups: Sequence[int], space: np.ndarray | None = None) -> np.ndarray:
        """The activations of some row groups, one after the other; [n, d_in].

        They lie at the beginning of ``space``, if it is given. Filling the same pages again takes a third of the time:
        new ones are cleared first, one by one.

        Raises:
            ValueError: there is too little of it; or the file ends before its rows do.
        """
        n = sum(self._places[g][2] for g in groups)
        if space is not None and n > len(space):
            raise ValueError(f"{n} activations do not fit into a space of {len(space)}")
        x = (self.space(n) if space is None else space)[:n]
        done = 0
        for shard, run in self._runs(groups):
            with open(self._path(shard), "rb") as file:
                for group, rows in run:
                    file.seek(self._ends[shard][group][-1] - rows * self.row_bytes)
                    part = x[done : done + rows].data.cast("B")
                    if file.readinto(part) != len(part):
                        raise ValueError(f"{self._path(shard)} ended while it was read; {REDO}")
                    done += rows
        return x

    def _path(self, shard: int) -> Path:
        return self.folder / self._entries[shard][0]

    def _runs(self, groups: Sequence[int]) -> Iterator[tuple[int, Iterator[tuple[int, int]]]]:
        """Neighbours of one shard, which is checked at its first use: which groups of it, and their rows."""
        for shard, run in itertools.groupby(groups, lambda g: self._places[g][0]):
            if shard not in self._ends:
                self._ends[shard] = self._verify(shard)
            yield shard, (self._places[g][1:] for g in run)

    def _read(self, groups: Sequence[int]) -> Iterator[Block]:
        """Each row group, mapped."""
        for shard, run in self._runs(groups):
            raw = np.memmap(self._path(shard), np.uint8, mode="r")
            for group, rows in run:
                document, position, x = (
                    raw[end - rows * width : end]
                    for end, width in zip(self._ends[shard][group], self._widths, strict=True)
                )
                yield Block(
                    document.view(np.int32), position.view(np.int32), x.view(self._dtype).reshape(rows, self.d_in)
                )

    def _verify(self, shard: int) -> list[list[int]]:
        """Check the file; where in it the values of each row group's columns end."""
        (_, rows, digest), path = self._entries[shard], self._path(shard)
        if not path.is_file():
            raise ValueError(f"{path} is named by the manifest but missing; {REDO}")
        if sha256(path) != digest:
            raise ValueError(f"{path} is truncated or altered (sha256 differs from the manifest); {REDO}")
        with reading(path, REDO), pq.ParquetFile(path) as file:
            if file.schema_arrow.field(ACTIVATION).type != pa.binary(self.row_bytes):
                raise ValueError(f"rows are not {self.d_in} x {self._dtype.__name__}")
            if file.metadata.num_rows != rows:
                raise ValueError(f"{file.metadata.num_rows} rows, manifest says {rows}")
            sizes = [n for of, _, n in self._places if of == shard]
            if file.num_row_groups != len(sizes):
                raise ValueError(f"{file.num_row_groups} row groups, expected {len(sizes)}")
            return [self._page_ends(file.metadata.row_group(i), n) for i, n in enumerate(sizes)]

    def _page_ends(self, group: pq.RowGroupMetaData, rows: int) -> list[int]:
        """Of each column: plain values in one page, which end where the column ends."""
        ends = []
        for column, width in zip((group.column(i) for i in range(group.num_columns)), self._widths, strict=True):
            if group.num_rows != rows or not 0 < column.total_compressed_size - rows * width < HEADER:
                raise ValueError(f"a row group is not one page of {rows} rows")
            ends.append(column.data_page_offset + column.total_compressed_size)
        return ends
