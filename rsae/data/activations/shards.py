"""Activations on disk: Parquet shards of fixed-size rows, and a manifest that vouches for them.

Rows are ``FixedSizeBinary`` without compression, dictionary or statistics, in row groups of 8K of one page each:
any reader of Parquet reads them, and here a row group is a stretch of a file. What the bytes mean (dtype,
d_in, hook) stands in each shard's schema metadata and in ``manifest.json``, together with a sha256 per shard.
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rsae.runtime.files import read_sealed, reading, sha256

ROW_GROUP = 8192
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


def group_rows(rows: int) -> list[int]:
    """Rows of each row group of a shard."""
    return [min(ROW_GROUP, rows - start) for start in range(0, rows, ROW_GROUP)]


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
            for group, size in enumerate(group_rows(rows))
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
