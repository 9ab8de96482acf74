"""What each process of the parallel tests runs: fine-tunes of small SAEs, as tests/training/test_parallel.py asks."""

import os
import sys
from pathlib import Path

import numpy as np
import torch

from rsae.rational.safe_pade import SafePade
from rsae.runtime.checkpoint import Checkpoint
from rsae.sae.gates.base import Gate
from rsae.sae.gates.jumprelu import JumpReLU
from rsae.sae.gates.mixture import Mixture
from rsae.sae.gates.polynomial import Polynomial
from rsae.sae.gates.rational import Rational
from rsae.sae.gates.relu import ReLU
from rsae.sae.gates.supported import Supported
from rsae.sae.gates.topk import TopK
from rsae.sae.model import SAE
from rsae.training import finetune as loop
from rsae.training.parallel import Follower, joined

D_IN, D_SAE = 8, 31  # not the same number of features on each of two or three processes
SETTINGS = loop.Settings(steps=40, batch=50, lr=1e-3, slow_lr=1e-4, decay_share=0.2, l1_coefficient=0.05)
DATA = torch.randn(300, D_IN, generator=torch.Generator().manual_seed(5))


def gates() -> dict[str, Gate]:
    form = SafePade(np.array([0.02, 0.5, 1.0, 0.3]), np.array([0.1, 0.2, 0.8]), 0.0)
    return {
        "relu": ReLU(),
        "jumprelu": JumpReLU(torch.full((D_SAE,), 0.3)),
        "topk": TopK(4),
        "codebook": Supported(
            TopK(4),
            Mixture([Polynomial(torch.tensor([0.1, 0.9])), ReLU()], torch.linspace(-1, 1, 2 * D_SAE).view(-1, 2)),
        ),
        "rational": Rational(form, torch.full((D_SAE,), 5.0), torch.full((D_SAE,), 5.0)),
        "rational-scalar": Rational(form, torch.full((1,), 5.0), torch.full((1,), 5.0), tail=True),
    }


def sae(gate: str) -> SAE:
    generator = torch.Generator().manual_seed(0)
    W_dec = torch.randn(D_SAE, D_IN, generator=generator)
    W_dec = W_dec / W_dec.norm(dim=1, keepdim=True)
    b_enc, b_dec = 0.1 * torch.randn(D_SAE, generator=generator), torch.randn(D_IN, generator=generator)
    return SAE(W_dec.T.clone(), b_enc, W_dec, b_dec, gates()[gate])


class Leaving(Checkpoint):
    """Saves at every step until it is asked to stop, on one process only; without a stop saves at the end."""

    def __init__(self, path: Path, key: str, at: int) -> None:
        super().__init__(path, key, seconds=0.0 if at > 0 else 3600.0)
        self.left = at

    def save(self, state) -> None:
        super().save(state)
        self.left -= 1
        self.stopping = self.left == 0


def main(by: str, folder: Path, stop_at: int) -> None:
    """Per gate: continue from what is in ``folder`` if there is something, stop after some steps or save the SAE."""
    torch.set_num_threads(1)
    with joined(by) as group:  # type: ignore[arg-type]
        for name in gates():
            tuned, path = sae(name), folder / f"{name}.pt"
            checkpoint = Leaving(path, name, stop_at) if group.rank == 0 else Follower(path, name, seconds=3600.0)
            try:
                outcome = loop.finetune(tuned, DATA, SETTINGS, 0, checkpoint=checkpoint, group=group)
            except SystemExit:
                continue
            if group.rank == group.size - 1:  # every process has the whole SAE, so the last has
                facts = {"losses": [outcome.loss_first, outcome.loss_last], "code": outcome.max_code}
                tuned.save(folder / name, facts | {"processes": outcome.processes, "step": outcome.step})


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # as `python -m rsae` leaves: gloo's threads can outlast the interpreter that they call into
