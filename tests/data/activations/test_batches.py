"""Batches from shards: every row once a pass, mixed, in bounded memory, and an order that follows from the step."""

import threading

import numpy as np
import pytest
import torch

from rsae.data.activations import batches as shuffling
from rsae.data.activations import shards as shards_module
from rsae.data.activations.batches import batches, resident
from rsae.data.activations.shard_writer import write
from rsae.data.activations.shards import Block, Shards

N, D_IN, BATCH, GROUP = 4000, 2, 50, 64  # of 64 rows in the test, so that a small file has many groups


@pytest.fixture
def shards(tmp_path, monkeypatch):
    """Row i reads (i mod 2048, i div 2048): its own number, exact in fp16."""
    monkeypatch.setattr(shards_module, "ROW_GROUP", GROUP)
    i = np.arange(N)
    x = np.stack([i % 2048, i // 2048], 1).astype(np.float32)
    block = Block((i // 40).astype(np.int32), (i % 40).astype(np.int32), x)
    write(
        tmp_path / "a", [block], n_tok=N, n_shards=7, dtype="float16", hook="h",
        documents=[f"document {i}" for i in range(N // 40)], made_from={},
    )  # fmt: skip
    return Shards(tmp_path / "a")


def numbers(stream, n):
    """Of the rows in the next ``n`` batches; [n, BATCH]."""
    found = torch.stack([next(stream) for _ in range(n)])
    return (found[..., 0] + 2048 * found[..., 1]).long().numpy()


POOL = 2 * 1000 * 2 * D_IN  # bytes: two chapters of 1000 rows


def test_a_pass_has_no_row_twice_and_leaves_out_less_than_a_batch_per_chapter(shards):
    chapters = -(-len(shards.groups) // (1000 // GROUP))
    per_pass = numbers(batches(shards, BATCH, 3, pool=POOL), (N - chapters * (BATCH - 1)) // BATCH).ravel()
    assert len(set(per_pass)) == len(per_pass)
    assert per_pass.max() < N


def test_another_seed_is_another_order_and_the_same_seed_the_same(shards):
    first, again, other = (numbers(batches(shards, BATCH, seed, pool=POOL), 40) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.9


@pytest.mark.parametrize("start", [1, 17, 18, 75, 200])
def test_the_order_follows_from_the_step(shards, start):
    whole = numbers(batches(shards, BATCH, 3, pool=POOL), start + 5)
    np.testing.assert_array_equal(numbers(batches(shards, BATCH, 3, start, pool=POOL), 5), whole[start:])


def correlation(order, lag):
    """Of the row numbers at that distance."""
    return np.corrcoef(order[:-lag], order[lag:])[0, 1]


@pytest.mark.parametrize("lag", [1, 2, 7, 49])
def test_within_a_chapter_neighbours_are_as_unlike_as_in_a_random_order(shards, lag):
    """A stream that reads row group by row group has 1 - O(1/N); a random order of n rows has 0 ± 1/√n."""
    first = numbers(batches(shards, BATCH, 3, pool=POOL), 17).ravel()  # of the first chapter
    assert correlation(np.arange(N), lag) > 0.99
    assert abs(correlation(first, lag)) < 4 / np.sqrt(len(first))


def test_a_chapter_is_drawn_from_all_over_the_data(shards):
    """Fifteen of the 63 row groups at random: their rows spread as the whole does, to a quarter."""
    first = numbers(batches(shards, BATCH, 3, pool=POOL), 17).ravel()
    assert first.std() == pytest.approx(N / np.sqrt(12), rel=0.25)


def test_never_more_rows_than_the_pool_allows(shards, monkeypatch):
    spaces, read, space, activations = [], [], Shards.space, Shards.activations
    monkeypatch.setattr(Shards, "space", lambda self, rows: spaces.append(x := space(self, rows)) or x)
    monkeypatch.setattr(
        Shards, "activations", lambda self, groups, into: read.append(x := activations(self, groups, into)) or x
    )
    numbers(batches(shards, BATCH, 3, pool=POOL), 200)
    assert len(read) > 4
    assert len(spaces) == 2
    assert all(any(np.shares_memory(x, space) for space in spaces) for x in read)  # no other memory is filled
    assert sum(x.nbytes for x in spaces) <= POOL


def test_what_fits_is_in_memory_and_permuted_as_a_whole(shards):
    assert resident(shards, pool=N * 2 * D_IN - 1) is shards
    data = resident(shards, pool=N * 2 * D_IN)
    assert isinstance(data, torch.Tensor)
    np.testing.assert_array_equal(data.numpy(), shards.load().x)
    found = numbers(batches(data, BATCH, 3), N // BATCH).ravel()
    np.testing.assert_array_equal(np.sort(found), np.arange(N))


def test_rows_that_carry_a_gradient_are_drawn_without_it(shards):
    data = shards.load().x.astype(np.float32)
    stream = batches(torch.from_numpy(data).requires_grad_(), BATCH, 3)
    assert not next(stream).requires_grad


def test_a_pool_that_holds_no_batch_is_refused(shards):
    with pytest.raises(ValueError, match="holds 64 rows, a batch or two row groups 500; enlarge the pool"):
        next(batches(shards, 500, 0, pool=2 * GROUP * 2 * D_IN))


@pytest.fixture
def gpu(monkeypatch):
    """Stands for one, on which a batch arrives as it left; where it is taken from is not pinned."""
    to = torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, "to", lambda x, where, **kwargs: to(x, "cpu"))
    monkeypatch.setattr(shuffling, "_taken", lambda x, rows, pinned=False: x[rows])
    return torch.device("cuda")


@pytest.mark.parametrize("place", ["memory", "shards"])
def test_a_thread_that_reads_ahead_for_a_gpu_changes_no_batch(shards, gpu, place):
    data = shards if place == "shards" else resident(shards, pool=N * 2 * D_IN)
    wanted = numbers(batches(data, BATCH, 3, 5, pool=POOL), 100)
    np.testing.assert_array_equal(numbers(batches(data, BATCH, 3, 5, pool=POOL, device=gpu), 100), wanted)
    with pytest.raises(ValueError, match="enlarge the pool"):
        next(batches(shards, 500, 0, pool=2 * GROUP * 2 * D_IN, device=gpu))


def test_the_thread_ends_with_the_stream(shards, gpu):
    before = threading.active_count()
    stream = batches(shards, BATCH, 3, pool=POOL, device=gpu)
    next(stream)
    assert threading.active_count() > before
    del stream
    assert threading.active_count() == before


def test_rows_go_to_a_gpu_that_has_room_for_them_beside_a_fine_tune(shards, monkeypatch):
    """They hold N * 2 * D_IN bytes, and what it needs is counted twice."""
    sent, to = [], torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, "to", lambda x, where: sent.append(where) or to(x, "cpu"))
    for free, goes in ((2 * 500 + N * 2 * D_IN - 1, False), (2 * 500 + N * 2 * D_IN, True)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 10 * free))
        resident(shards, N * 2 * D_IN, torch.device("cuda"), needed=500)
        assert sent == ([torch.device("cuda")] if goes else [])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("place", ["memory", "gpu", "shards"])
def test_a_gpu_gets_the_same_batches(shards, place):
    gpu, data = torch.device("cuda"), resident(shards, pool=N * 2 * D_IN)
    wanted = numbers(batches(data, BATCH, 3), 100)
    assert isinstance(data, torch.Tensor)
    if place == "shards":
        wanted = numbers(batches(shards, BATCH, 3, pool=POOL), 100)
    given = {"memory": data, "gpu": data.to(gpu), "shards": shards}[place]
    stream = batches(given, BATCH, 3, pool=POOL, device=gpu)
    found = torch.stack([next(stream) for _ in range(100)])
    assert (found.device.type, found.dtype) == ("cuda", torch.float32)
    found = found.cpu()
    np.testing.assert_array_equal((found[..., 0] + 2048 * found[..., 1]).long().numpy(), wanted)
