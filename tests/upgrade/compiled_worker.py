"""Fine-tunes by compiled and by eager steps, for tests/upgrade/test_compiled.py.

In a process of its own: there the checks of shapes, which torch's compiler cannot look through, are not installed.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch._dynamo.utils import counters

from rsae.checkpoint import Checkpoint
from rsae.device import device
from rsae.gates.topk import TopK
from rsae.refine.resolvent import Resolvent
from rsae.sae import SAE
from rsae.stages.common import set_up_torch
from rsae.upgrade import objectives
from rsae.upgrade.finetune import Outcome, finetune
from tests.upgrade.parallel_worker import D_IN, D_SAE, DATA, SETTINGS, gates

CASES = [
    ("relu", "paper", "fp32"),
    ("relu", "own", "bf16"),
    ("jumprelu", "own", "fp32"),
    ("topk", "weighed", "fp32"),
    ("codebook", "own", "fp32"),
    ("rational", "paper", "fp32"),
    ("rational", "paper", "bf16"),
    ("rational-scalar", "error", "fp32"),
]


def made(name: str) -> SAE:
    g = torch.Generator().manual_seed(1)
    W_dec = torch.nn.functional.normalize(torch.randn(D_SAE, D_IN, generator=g), dim=1)
    b_enc, b_dec = 0.1 * torch.randn(D_SAE, generator=g), torch.randn(D_IN, generator=g)
    if name == "resolvent":
        sae = SAE(W_dec.T.contiguous(), b_enc, W_dec, b_dec, TopK(4))
        return sae.with_refinement(Resolvent(torch.zeros(D_SAE)))
    return SAE(W_dec.T.contiguous(), b_enc, W_dec, b_dec, gates()[name])


def trained(step: str, name: str, objective: Any, precision: Any, **kwargs: Any) -> tuple[SAE, Outcome]:
    os.environ["RSAE_STEP"] = step
    sae = made(name).to(device())
    settings = SETTINGS._replace(objective=objective, precision=precision)
    return sae, finetune(sae, DATA, settings, seed=0, **kwargs)


def distance(a: SAE, b: SAE) -> float:
    """Largest difference of two entries, in units of the largest entry of their tensor."""
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return max(float((p - q).abs().max() / q.abs().max().clamp_min(1e-3)) for p, q in pairs)


def compared(name: str, objective: str, precision: str) -> dict[str, Any]:
    eager, wanted = trained("eager", name, objective, precision)
    counters.clear()
    sae, found = trained("compiled", name, objective, precision)
    return {
        "steps": [wanted.step, found.step],
        "losses": [[o.loss_first, o.loss_last, o.max_code] for o in (wanted, found)],
        "distance": distance(sae, eager),
        "graphs": counters["stats"]["unique_graphs"],
        "breaks": len(counters["graph_break"]),
    }


class _KilledError(Exception):
    """Stands for the signal that ends a job."""


class _Interrupted(Checkpoint):
    """Ends a fine-tune after a few steps, once they are saved."""

    steps = 0

    @property
    def due(self) -> bool:
        return True

    def leave(self) -> None:
        self.steps += 1
        if self.steps == 7:
            raise _KilledError


def continued(folder: Path) -> dict[str, Any]:
    """A compiled fine-tune that was interrupted, against one that was not."""
    whole, _ = trained("compiled", "rational", "paper", "fp32")
    try:
        trained("compiled", "rational", "paper", "fp32", checkpoint=_Interrupted(folder / "kept.pt", "key"))
        raise AssertionError("it was to be interrupted")
    except _KilledError:
        pass
    again, _ = trained("compiled", "rational", "paper", "fp32", checkpoint=Checkpoint(folder / "kept.pt", "key"))
    return {"distance": distance(again, whole)}


def halved() -> dict[str, Any]:
    """Parts of a batch of 50 that hold 20 tokens at most: two of 13 and two of 12, each a shape of its own."""
    whole, _ = trained("compiled", "rational", "paper", "fp32")
    loss = objectives.loss

    def limited(sae: SAE, x: torch.Tensor, *rest: Any) -> Any:
        if len(x) > 20:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return loss(sae, x, *rest)

    objectives.loss = limited
    sae, outcome = trained("compiled", "rational", "paper", "fp32")
    objectives.loss = loss
    return {"parts": outcome.parts, "step": outcome.step, "distance": distance(sae, whole)}


def main(folder: Path) -> None:
    set_up_torch()
    found: dict[str, Any] = {" ".join(case): compared(*case) for case in CASES}
    found |= {"continued": continued(folder), "halved": halved()}
    found["resolvent"] = trained("compiled", "resolvent", "own", "fp32")[1].step
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
