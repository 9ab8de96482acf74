"""A disk that fills up under a fine-tune (shards, SAEs and commands: tests/runtime/test_full_disk.py)."""

import pytest
import torch

from rsae.cli import errors
from rsae.runtime.checkpoint import Checkpoint
from rsae.sae.gates.relu import ReLU
from rsae.training.finetune import Settings, finetune
from tests.runtime.test_full_disk import small_disk

__all__ = ["small_disk"]
SETTINGS = Settings(steps=20, batch=64, lr=1e-2, slow_lr=1e-3, decay_share=0.2, l1_coefficient=0.05)
DATA = torch.randn(300, 16, generator=torch.Generator().manual_seed(5))


class Filling(Checkpoint):
    """Something else takes the rest of the disk after the third state."""

    saved = 0

    def leave(self):
        self.saved += 1
        if self.saved == 3:
            with pytest.raises(OSError, match="No space left"):
                (self.path.parent / "filler").write_bytes(b"x" * (256 << 10))


def test_the_last_whole_state_stays_and_is_continued(make_sae, small_disk):
    def fresh():
        return make_sae(ReLU(), d_in=16, d_sae=128)

    unbroken = fresh()
    finetune(unbroken, DATA, SETTINGS, seed=0)
    path = small_disk / "state.pt"
    with pytest.raises(OSError, match="No space left") as caught:
        finetune(fresh(), DATA, SETTINGS, seed=0, checkpoint=Filling(path, "a", seconds=0.0))
    assert str(errors.sentence(caught.value)).startswith(f"{path}: the disk is full; free some space")
    state = Checkpoint(path, "a").load()
    assert state is not None
    assert state["step"] == 3
    assert sorted(p.name for p in small_disk.iterdir()) == ["filler", "state.pt"]
    (small_disk / "filler").unlink()
    continued = fresh()
    finetune(continued, DATA, SETTINGS, seed=0, checkpoint=Checkpoint(path, "a", seconds=0.0))
    for a, b in zip(unbroken.parameters(), continued.parameters(), strict=True):
        assert torch.equal(a, b)
