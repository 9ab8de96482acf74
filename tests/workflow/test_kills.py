"""A trainer that is killed: nothing is lost, and what comes out is the same to the bit."""

import os
import subprocess
import sys
import time

import pytest

COMMAND = "-m rsae finetune --host gpt2-docs-quick --teacher jumprelu --arm rsae".split()


@pytest.fixture
def outputs(quick):
    """Files of one arm, put back with their times, so that Snakemake sees nothing."""
    folder = quick.folder / "results/quick/gpt2-docs-quick/jumprelu/rsae"
    kept = {path: (path.read_bytes(), path.stat()) for path in folder.rglob("*") if path.is_file()}
    yield {path: content for path, (content, _) in kept.items()}
    for path, (content, stat) in kept.items():
        path.write_bytes(content)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_a_killed_finetune_continues_and_ends_byte_equal(quick, outputs):
    states = quick.folder / "results/checkpoints/quick/gpt2-docs-quick/jumprelu/rsae"
    env = os.environ | {"RSAE_CHECKPOINT_SECONDS": "0.5"}
    weights = next(path for path in outputs if path.suffix == ".safetensors")
    weights.unlink()
    with subprocess.Popen([sys.executable, *COMMAND], cwd=quick.folder, env=env, stderr=subprocess.DEVNULL) as trainer:
        deadline = time.monotonic() + 120
        while not (states / "seed-0.pt").exists() and time.monotonic() < deadline:  # not a half-written one
            time.sleep(0.05)
        trainer.kill()
    assert not weights.exists()
    done = quick.call(sys.executable, *COMMAND, RSAE_CHECKPOINT_SECONDS="0.5")
    assert "continues at step" in done.stdout
    assert weights.read_bytes() == outputs[weights]
    assert not states.exists()
