"""Batches in an order that a seed fixes, from rows in memory or from shards of any number."""

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rsae.shards import Shards


def resident(shards: Shards, pool: int) -> Tensor | Shards:
    """All rows [n_tok, d_in] where they fit into ``pool`` bytes, so that they are read once; else the shards."""
    fits = shards.n_tok * shards.row_bytes <= pool
    return torch.from_numpy(shards.activations(range(len(shards.groups)))) if fits else shards


class _Chapter(NamedTuple):
    """Row groups that are in memory together, and the batches that are drawn from them."""

    groups: list[int]
    rows: Sequence[Tensor]  # of each batch, in its chapter


def batches(
    data: Float[Tensor, "n d_in"] | Shards,
    batch: int,
    seed: int,
    start: int = 0,
    pool: int = 0,
    device: torch.device | None = None,
) -> Iterator[Float[Tensor, "batch d_in"]]:
    """Full batches in fp32 from the ``start``-th on, without end; each pass over the rows is in a new order.

    They are on ``device``, if one is given. Rows in memory are permuted as a whole, and need no ``pool``. From shards,
    a pass permutes the row groups and cuts them into chapters of half of ``pool`` bytes; one chapter is read while
    batches are drawn from all rows of the one before, into the memory of the one before that. What is left of a
    chapter and fills no batch is left out of that pass.

    Raises:
        ValueError: a chapter would hold less than one batch, or than two row groups.
    """
    if isinstance(data, Tensor):
        for _, rows in _chapters([len(data)], len(data), batch, seed, start):
            yield from (_moved(data[r], device) for r in rows)
        return
    capacity = pool // 2 // data.row_bytes
    if capacity < (least := max(batch, 2 * max(data.groups))):
        raise ValueError(f"half of a pool holds {capacity} rows, a batch or two row groups {least}; enlarge the pool")
    chapters = _chapters(data.groups, capacity, batch, seed, start)
    spaces = itertools.cycle([data.space(min(capacity, len(data))) for _ in range(2)])
    with ThreadPoolExecutor(1) as reader:

        def read(chapter: _Chapter) -> Tensor:
            return torch.from_numpy(data.activations(chapter.groups, next(spaces)))

        following = next(chapters)
        coming = reader.submit(read, following)
        while True:
            chapter, x = following, coming.result()
            following = next(chapters)
            coming = reader.submit(read, following)
            yield from (_moved(x[r], device) for r in chapter.rows)


def _moved(x: Tensor, device: torch.device | None) -> Tensor:
    """In fp32; to another device by way of pinned memory, in the dtype on disk, without waiting for it."""
    if device is not None and device.type == "cuda" and not x.is_cuda:
        x = x.pin_memory().to(device, non_blocking=True)
    return x.float()


def _chapters(groups: Sequence[int], capacity: int, batch: int, seed: int, start: int) -> Iterator[_Chapter]:
    """Without end; ``groups`` holds the rows of each row group, a chapter has at most ``capacity`` rows."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(groups), generator=generator).tolist() if len(groups) > 1 else [0]
        for chapter in _cut(order, groups, capacity):
            n = sum(groups[g] for g in chapter)
            rows = torch.randperm(n, generator=generator).split(batch)[: n // batch]
            if start < len(rows):
                yield _Chapter(chapter, rows[start:])
            start = max(0, start - len(rows))


def _cut(order: Sequence[int], groups: Sequence[int], capacity: int) -> list[list[int]]:
    """Chapters of at most ``capacity`` rows, alike in size to one group."""
    each = max(1, capacity // max(groups))
    return [sorted(part.tolist()) for part in np.array_split(order, -(-len(order) // each))]
