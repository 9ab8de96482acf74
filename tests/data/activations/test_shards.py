import json
import weakref

import numpy as np
import pyarrow.parquet as pq
import pytest

from rsae.data.activations import shard_writer, shards
from rsae.data.activations.shard_writer import Unfinished
from rsae.data.activations.shards import Block, Shards


def blocks(n=1000, d_in=4, step=70, dtype=np.float32):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, d_in)).astype(dtype)
    document = (np.arange(n) // 100).astype(np.int32)
    position = (np.arange(n) % 100).astype(np.int32)
    return [Block(document[i : i + step], position[i : i + step], x[i : i + step]) for i in range(0, n, step)]


def write(folder, parts, dtype="float16", n_shards=3, n_tok=None):
    shard_writer.write(
        folder,
        parts,
        n_tok=n_tok or sum(len(b.x) for b in parts),
        n_shards=n_shards,
        dtype=dtype,
        hook="blocks.0.hook_resid_post",
        documents=[f"document {i}" for i in range(10)],
        made_from={},
    )


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_what_is_written_is_read_back(tmp_path, dtype):
    parts = blocks()
    write(tmp_path / "a", parts, dtype)
    read = Shards(tmp_path / "a")
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["manifest.json"] + [
        f"shard-{i:05d}.parquet" for i in range(3)
    ]
    assert (read.n_tok, read.d_in) == (1000, 4)
    whole = read.load()
    for column in range(3):
        wanted = np.concatenate([b[column] for b in parts]).astype(whole[column].dtype)
        np.testing.assert_array_equal(whole[column], wanted)
    assert whole.x.dtype == np.dtype(dtype)
    metadata = pq.read_schema(tmp_path / "a/shard-00000.parquet").metadata
    assert metadata[b"hook"] == b"blocks.0.hook_resid_post"


def test_row_groups_are_read_in_any_order_into_memory_that_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "ROW_GROUP", 64)
    write(tmp_path / "a", blocks())
    read = Shards(tmp_path / "a")
    whole, starts = read.load().x, np.cumsum([0, *read.groups])
    order = [7, 2, 3, 17, 0]
    wanted = np.concatenate([whole[starts[g] : starts[g + 1]] for g in order])
    space = read.space(500)
    space[:] = 7
    found = read.activations(order, space)
    np.testing.assert_array_equal(found, wanted)
    assert np.shares_memory(found, space)
    assert (space[len(wanted) :] == 7).all()
    np.testing.assert_array_equal(read.activations(order), wanted)
    with pytest.raises(ValueError, match="320 activations do not fit into a space of 299"):
        read.activations(range(5), read.space(299))
    with open(tmp_path / "a/shard-00000.parquet", "r+b") as file:  # after it was checked
        file.truncate(1500)
    with pytest.raises(ValueError, match=r"shard-00000\.parquet ended while it was read; delete the folder"):
        read.activations(order)


def test_bytes_do_not_depend_on_how_the_rows_came(tmp_path):
    write(tmp_path / "a", blocks(step=70))
    write(tmp_path / "b", blocks(step=333))
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_no_more_than_two_row_groups_are_held_while_a_shard_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "ROW_GROUP", 64)
    alive: list[weakref.ref] = []
    most = 0

    def stream():
        nonlocal most
        for document, position, x in blocks(n=960, step=16):
            mine = x.copy()  # not a view of the whole
            alive.append(weakref.ref(mine))
            most = max(most, sum(r() is not None for r in alive))
            yield Block(document, position, mine)
            del mine

    shard_writer.write(
        tmp_path / "a", stream(), n_tok=960, n_shards=1, dtype="float32", hook="h",
        documents=[str(i) for i in range(10)], made_from={},
    )  # fmt: skip
    assert len(alive) == 60
    assert most <= 2 * 64 // 16


@pytest.mark.parametrize(("value", "says"), [(np.nan, "not finite"), (np.inf, "not finite"), (1e5, "dtype: float32")])
def test_a_bad_activation_is_named_and_nothing_is_written(tmp_path, value, says):
    parts = blocks()
    parts[4].x[13, 2] = value  # row 4 * 70 + 13 = 293
    with pytest.raises(ValueError, match=says) as caught:
        write(tmp_path / "a", parts)
    assert "document 2" in str(caught.value)
    assert "position 93" in str(caught.value)
    assert "blocks.0.hook_resid_post" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("announced", [999, 1001])
def test_another_number_of_rows_than_announced_is_refused(tmp_path, announced):
    with pytest.raises(ValueError, match="announced"):
        write(tmp_path / "a", blocks(), n_tok=announced)
    assert list(tmp_path.iterdir()) == []


def damage_flip(folder):
    path = folder / "shard-00001.parquet"
    raw = bytearray(path.read_bytes())
    raw[100] ^= 1
    path.write_bytes(raw)


def damage_truncate(folder):
    path = folder / "shard-00001.parquet"
    path.write_bytes(path.read_bytes()[:-50])


def damage_remove(folder):
    (folder / "shard-00001.parquet").unlink()


def damage_manifest(folder):
    (folder / "manifest.json").write_text('{"n_tok": 3')


def damage_no_manifest(folder):
    (folder / "manifest.json").unlink()


def damage_rows(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["n_tok"] += 1
    (folder / "manifest.json").write_text(json.dumps(manifest))


def damage_escape(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["shards"][0]["file"] = "../outside.parquet"
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("damage", [v for k, v in list(globals().items()) if k.startswith("damage_")])
def test_damage_is_noticed_and_the_remedy_named(tmp_path, damage):
    write(tmp_path / "a", blocks())
    damage(tmp_path / "a")
    with pytest.raises(ValueError, match="run harvest again"):
        Shards(tmp_path / "a").load()


class StopError(Exception):
    """The power goes out."""


def interrupted(tmp_path, after=700):
    """An unfinished folder with two of three shards, of 333 rows each but for the last."""

    def stream():
        seen = 0
        for block in blocks():
            if seen >= after:
                raise StopError
            seen += len(block.x)
            yield block

    with pytest.raises(StopError):
        write_on(tmp_path, stream(), Unfinished(tmp_path / "kept", "k"))
    assert not (tmp_path / "a").exists()


def write_on(tmp_path, stream, unfinished):
    shard_writer.write(
        tmp_path / "a", stream, n_tok=1000, n_shards=3, dtype="float16", hook="blocks.0.hook_resid_post",
        documents=[f"document {i}" for i in range(10)], made_from={}, unfinished=unfinished,
    )  # fmt: skip


def test_an_interrupted_write_goes_on_after_its_last_whole_shard(tmp_path):
    write(tmp_path / "whole", blocks())
    interrupted(tmp_path)
    kept = Unfinished(tmp_path / "kept", "k")
    assert (len(kept.shards), kept.n_tok) == (2, 666)
    everything = blocks(step=1000)[0]
    write_on(tmp_path, [Block(*(c[666:] for c in everything))], kept)
    assert {p.name: p.read_bytes() for p in (tmp_path / "a").iterdir()} == {
        p.name: p.read_bytes() for p in (tmp_path / "whole").iterdir()
    }
    assert not (tmp_path / "kept").exists()


def test_a_write_that_lacked_its_manifest_alone_is_finished_without_a_row(tmp_path, monkeypatch):
    def full(value):
        raise OSError(28, "No space left on device")

    write(tmp_path / "whole", blocks())
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(shard_writer, "canonical", full)
        write_on(tmp_path, iter(blocks()), Unfinished(tmp_path / "kept", "k"))
    kept = Unfinished(tmp_path / "kept", "k")
    assert kept.n_tok == 1000
    write_on(tmp_path, iter(()), kept)
    assert {p.name: p.read_bytes() for p in (tmp_path / "a").iterdir()} == {
        p.name: p.read_bytes() for p in (tmp_path / "whole").iterdir()
    }


@pytest.mark.parametrize("harm", ["another key", "a damaged shard", "a damaged record"])
def test_what_cannot_be_vouched_for_is_not_taken_over(tmp_path, harm):
    interrupted(tmp_path)
    key, left = "k", 0
    if harm == "another key":
        key = "other"
    elif harm == "a damaged shard":
        path, left = tmp_path / "kept/0/shard-00001.parquet", 1
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path = tmp_path / "kept/unfinished.json"
        path.write_text(path.read_text().replace("333", "334"))
    assert len(Unfinished(tmp_path / "kept", key).shards) == left
    assert len(list((tmp_path / "kept").rglob("*.parquet"))) == left  # the rest is gone


@pytest.mark.parametrize("stops", [None, 700])
def test_folders_that_are_written_side_by_side_are_those_that_are_written_alone(tmp_path, stops):
    """Also where the power goes out between: no folder is further than another."""
    hooks = ["blocks.0.hook_resid_post", "blocks.5.hook_resid_post", "blocks.2.hook_resid_post"]
    alone, targets = (
        tmp_path / "alone",
        [shard_writer.Target(tmp_path / "x" / hook, hook, {"site": hook}) for hook in hooks],
    )
    form: dict = {"n_tok": 1000, "n_shards": 3, "dtype": "float16", "documents": [f"document {i}" for i in range(10)]}
    factors = (1, 2, -3)
    for target, factor in zip(targets, factors, strict=True):
        parts = [b._replace(x=factor * b.x) for b in blocks()]
        shard_writer.write(alone / target.hook, parts, hook=target.hook, made_from=target.made_from, **form)

    def stream(start, stop):
        for block in (Block(*(c[start:] for c in blocks(step=1000)[0])),):
            for i in range(0, len(block.x), 70):
                if stop is not None and i >= stop:
                    raise StopError
                part = Block(*(c[i : i + 70] for c in block))
                yield part._replace(x=np.concatenate([f * part.x for f in factors], axis=1))

    bad = next(stream(0, None))
    bad.x[3, 9] = np.nan  # the second column of the third target
    with pytest.raises(ValueError, match=r"at blocks\.2\.hook_resid_post, document 'document 0', position 3"):
        shard_writer.write_all(targets, [bad], **form)
    if stops:
        with pytest.raises(StopError):
            shard_writer.write_all(targets, stream(0, stops), **form, unfinished=Unfinished(tmp_path / "kept", "k", 3))
        (tmp_path / "kept/2/shard-00002.parquet").touch()  # one was further
        assert not (tmp_path / "x").exists() or not any((tmp_path / "x").iterdir())
    kept = Unfinished(tmp_path / "kept", "k", 3)
    assert kept.n_tok == (666 if stops else 0)
    shard_writer.write_all(targets, stream(kept.n_tok, None), **form, unfinished=kept)

    def content(folder):
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    assert content(tmp_path / "x") == content(alone)
    assert not (tmp_path / "kept").exists()
