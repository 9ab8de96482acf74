"""Reading activations: our shards against a memory map, sae_lens's cached store and another Parquet layout."""

import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from sae_lens.training.activations_store import ActivationsStore

from benchmarks.timing import Goal, alternate, row
from rsae.data.activations.batches import batches
from rsae.data.activations.shard_writer import write
from rsae.data.activations.shards import ROW_GROUP, Block, Shards

N_TOK, D_IN, CTX, N_SHARDS, BATCH = 100_000, 768, 128, 4, 4096  # 154 MB in fp16
HOOK = "blocks.8.hook_resid_pre"


def activations(n_tok: int, d_in: int) -> np.ndarray:
    """Random, in fp16."""
    return np.random.default_rng(0).standard_normal((n_tok, d_in), np.float32).astype(np.float16)


def ours(folder: Path, x: np.ndarray, n_shards: int = N_SHARDS) -> Path:
    """Written by the product."""
    document = np.zeros(len(x), np.int32)
    write(
        folder, [Block(document, np.arange(len(x), dtype=np.int32), x)], n_tok=len(x), n_shards=n_shards,
        dtype="float16", hook=HOOK, documents=["one"], made_from={},
    )  # fmt: skip
    return folder


def copied(parts: Iterable[np.ndarray], into: np.ndarray) -> None:
    """One part after the other to the same place in memory: mapped pages are read when they are touched."""
    for part in parts:
        into[: len(part)] = part


def filled(shards: Shards, into: np.ndarray) -> None:
    """One row group after the other to the same place in memory, as a fine-tune reads a chapter."""
    for group in range(len(shards.groups)):
        shards.activations([group], into)


def _store(folder: Path, x: np.ndarray) -> Callable[[str], ActivationsStore]:
    """A cached store of sae_lens over the same numbers on disk, read as some dtype: fp32 is its default."""
    rows = x[: len(x) // CTX * CTX].reshape(-1, CTX, x.shape[1])
    features = datasets.Features({HOOK: datasets.Array2D(shape=rows.shape[1:], dtype="float16")})
    datasets.Dataset.from_dict({HOOK: rows}, features=features).save_to_disk(folder)
    model: Any = None  # not asked where activations are cached
    return lambda dtype: ActivationsStore(
        model, None, streaming=False, hook_name=HOOK, hook_head_index=None, context_size=CTX, d_in=x.shape[1],
        n_batches_in_buffer=64, total_training_tokens=len(x), store_batch_size_prompts=BATCH // CTX,
        train_batch_size_tokens=BATCH, prepend_bos=False, normalize_activations="none",
        device=torch.device("cpu"), dtype=dtype, cached_activations_path=str(folder),
    )  # fmt: skip


def _mapped(path: Path) -> Iterator[np.ndarray]:
    x = np.load(path, mmap_mode="r")
    yield from (x[i : i + ROW_GROUP] for i in range(0, len(x), ROW_GROUP))


def _lists(path: Path, x: np.ndarray) -> None:
    """As one would first write it: a list column, pyarrow's defaults."""
    column = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), x.shape[1])
    pq.write_table(pa.table({"activation": column}), path, row_group_size=ROW_GROUP)


def _read_lists(path: Path) -> Iterator[np.ndarray]:
    with pq.ParquetFile(path, memory_map=True) as file:
        for group in range(file.num_row_groups):
            column: Any = file.read_row_group(group).column("activation").combine_chunks()
            yield column.values.to_numpy(zero_copy_only=False).reshape(len(column), -1)


def run() -> list[dict]:
    """Every contestant brings all rows into memory once; what is read has just been written, so no disk is timed."""
    x = activations(N_TOK, D_IN)
    half, single = (np.zeros((ROW_GROUP, D_IN), dtype) for dtype in (np.float16, np.float32))
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sae_lens says that an epoch is over
        here = Path(name)
        opened = Shards(ours(here / "shards", x))
        np.save(here / "map.npy", x)
        store = _store(here / "store", x)
        few = x[: N_TOK // 8]  # the slow layout
        _lists(here / "lists.parquet", few)
        np.save(here / "few.npy", few)
        n_batches = N_TOK // BATCH

        def stored(dtype: str) -> Iterator[np.ndarray]:
            cached = store(dtype)
            yield from (cached.get_raw_llm_batch()[0].numpy() for _ in range(n_batches))

        def shuffled(stream: Iterator[Any]) -> None:
            for _ in range(n_batches):
                next(stream)

        seconds = alternate(
            {
                "memory": lambda: copied(np.split(x, range(ROW_GROUP, N_TOK, ROW_GROUP)), half),
                "memmap": lambda: copied(_mapped(here / "map.npy"), half),
                "shards": lambda: filled(opened, half),
                "shards, first reading": lambda: filled(Shards(here / "shards"), half),
                "sae_lens store": lambda: copied(stored("float16"), half),
                "sae_lens store, fp32": lambda: copied(stored("float32"), single),
                # chapters of half of the data, read once more for every pass
                "shards, shuffled": lambda: shuffled(batches(opened, BATCH, 0, pool=x.nbytes)),
                "sae_lens store, shuffled": lambda: shuffled(store("float32")),
            }
        )
        slow = alternate(
            {
                "memmap": lambda: copied(_mapped(here / "few.npy"), half),
                "lists": lambda: copied(_read_lists(here / "lists.parquet"), half),
            },
            rounds=5,
        )
    return [
        row("shards, against a memory map", seconds, "shards", "memmap", Goal(1.3, False)),
        row(
            "shards, first reading (sha256 verified), against a memory map", seconds, "shards, first reading", "memmap"
        ),
        row("shards, times faster than sae_lens's store", seconds, "shards", "sae_lens store, fp32", Goal(5.0, True)),
        row(
            "shards, times faster than that store at fp16",
            seconds,
            "shards",
            "sae_lens store",
            Goal(5.0, True),
        ),
        row(
            "a copy in memory, times faster than that store at fp16",
            seconds,
            "memory",
            "sae_lens store",
            faster=True,
        ),
        row("shuffled fp32 batches, ours against sae_lens's", seconds, "shards, shuffled", "sae_lens store, shuffled"),
        row("FixedSizeList Parquet (pyarrow's defaults), against a memory map", slow, "lists", "memmap"),
    ]
