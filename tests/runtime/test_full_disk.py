"""A disk that is really full: a sentence, nothing half-written, nothing finished lost."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from rsae.cli import errors
from rsae.data.activations import shard_writer, shards
from rsae.sae.gates.relu import ReLU


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr}")
    yield disk
    subprocess.run(["umount", disk], check=True)


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def test_an_sae_that_does_not_fit_leaves_the_old_one(small_disk, make_sae):
    small, large = make_sae(ReLU(), d_in=8, d_sae=32), make_sae(ReLU(), d_in=64, d_sae=1024)
    small.save(small_disk / "sae", {})
    before = files(small_disk)
    with pytest.raises(OSError, match="No space left on device"):
        large.save(small_disk / "sae", {})
    assert files(small_disk) == before
    assert torch.equal(type(small).load(small_disk / "sae").W_dec, small.W_dec)


def test_shards_that_do_not_fit_leave_nothing(small_disk):
    index = np.zeros(4096, np.int32)
    block = shards.Block(index, index, np.ones((4096, 64), np.float16))
    with pytest.raises(OSError) as caught:
        shard_writer.write(
            small_disk / "activations", [block],
            n_tok=4096, n_shards=2, dtype="float16", hook="h", documents=["a"], made_from={},
        )  # fmt: skip
    assert caught.value.errno == 28
    said = str(errors.sentence(caught.value))
    assert said.startswith(f"{small_disk}/activations")
    assert "the disk is full; free some space" in said
    assert files(small_disk) == []


def test_a_command_says_it_in_one_sentence(small_disk):
    (small_disk / "filler").write_bytes(b"x" * (256 << 10))
    command = "-m rsae fit-gate --target relu --degree 3 2 --json".split()
    done = subprocess.run([sys.executable, *command, small_disk / "a"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"rsae: {small_disk}/a: the disk is full; free some space")
    assert "Traceback" not in done.stderr
    assert files(small_disk) == ["filler"]
