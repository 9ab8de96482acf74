"""A fine-tune that is interrupted ends as if it had not been."""

import os
import signal
import subprocess
import sys

import pytest
import torch

from rsae.data.activations.batches import batches
from rsae.runtime.checkpoint import Checkpoint, alone
from rsae.sae.gates.jumprelu import JumpReLU
from rsae.sae.gates.relu import ReLU
from rsae.sae.gates.topk import TopK
from rsae.sae.refine.resolvent import Resolvent
from rsae.training.finetune import Settings, finetune

SETTINGS = Settings(steps=40, batch=64, lr=1e-2, slow_lr=1e-3, decay_share=0.2, l1_coefficient=0.05, objective="own")
DATA = torch.randn(300, 8, generator=torch.Generator().manual_seed(5))  # four batches a pass, some rows left over


class KilledError(Exception):
    pass


class Killed(Checkpoint):
    """Saves at every step and dies after some of them."""

    def __init__(self, path, key, steps):
        super().__init__(path, key, seconds=0.0)
        self.left = steps

    def leave(self):
        self.left -= 1
        if self.left == 0:
            raise KilledError


def gates():
    return {"relu": ReLU(), "jumprelu": JumpReLU(torch.full((32,), 0.3)), "topk": TopK(4)}


@pytest.mark.parametrize("name", [*gates(), "resolvent"])
def test_kills_at_any_step_change_no_bit(make_sae, tmp_path, name):
    def fresh():
        if name == "resolvent":
            return make_sae(TopK(4)).with_refinement(Resolvent(torch.zeros(32)))
        return make_sae(gates()[name])

    unbroken = fresh()
    wanted = finetune(unbroken, DATA, SETTINGS, seed=0)
    path = tmp_path / "state.pt"
    for steps in (1, 6, 11, 17):  # within a pass, at its end, in the decay of the rate
        with pytest.raises(KilledError):
            finetune(fresh(), DATA, SETTINGS, seed=0, checkpoint=Killed(path, "a", steps))
    broken = fresh()
    found = finetune(broken, DATA, SETTINGS, seed=0, checkpoint=Checkpoint(path, "a"))
    for a, b in zip(unbroken.parameters(), broken.parameters(), strict=True):
        assert torch.equal(a, b)
    assert found._replace(seconds=0) == wanted._replace(seconds=0.0)
    # a finished fine-tune is not repeated
    again = fresh()
    assert finetune(again, DATA, SETTINGS, seed=0, checkpoint=Checkpoint(path, "a")) == found
    assert torch.equal(again.W_enc, unbroken.W_enc)


@pytest.mark.parametrize("start", [0, 1, 3, 4, 5, 11])
def test_the_order_of_the_data_follows_from_the_step(start):
    whole, rest = batches(DATA, 64, 3), batches(DATA, 64, 3, start)
    for _ in range(start):
        next(whole)
    for _ in range(9):
        assert torch.equal(next(whole), next(rest))


def test_a_state_of_something_else_or_a_damaged_one_is_not_continued(tmp_path, capsys):
    path = tmp_path / "state.pt"
    Checkpoint(path, "a").save({"step": 3})
    assert Checkpoint(path, "a").load() == {"step": 3}
    assert Checkpoint(path, "b").load() is None
    assert "other settings, code or data" in capsys.readouterr().out
    path.write_bytes(path.read_bytes()[:-200])
    assert Checkpoint(path, "a").load() is None
    assert "damaged" in capsys.readouterr().out
    assert Checkpoint(tmp_path / "none.pt", "a").load() is None


def test_a_second_trainer_is_locked_out_and_told_by_whom(tmp_path):
    code = f"""
import sys
from pathlib import Path
from rsae.runtime.checkpoint import alone
with alone(Path({str(tmp_path)!r})):
    print("held", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as one:
        assert one.stdout is not None
        assert one.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match=rf"process {one.pid} is at work in"), alone(tmp_path):
            pass
        one.kill()
        one.wait()
    with alone(tmp_path):  # a killed holder leaves no lock behind
        assert (tmp_path / "lock").read_text() == str(os.getpid())


def test_sigterm_saves_and_leaves(make_sae, tmp_path):
    class Asked(Checkpoint):
        @property
        def due(self):
            if not self.stopping:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().due

    path, sae = tmp_path / "state.pt", make_sae(ReLU())
    with pytest.raises(SystemExit) as ended:
        finetune(sae, DATA, SETTINGS, seed=0, checkpoint=Asked(path, "a", seconds=1e9))
    assert ended.value.code == 143
    state = Checkpoint(path, "a").load()
    assert state is not None
    assert 1 <= state["step"] <= 2
