"""Fine-tunes by compiled and by eager steps, for tests/training/test_compiled.py.

In a process of its own: there the checks of shapes, which torch's compiler cannot look through, are not installed.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch._dynamo.utils import counters
from torch._inductor import config
from torch._inductor.graph import GraphLowering

from rsae.runtime.checkpoint import Checkpoint
from rsae.runtime.device import device, set_up_torch
from rsae.sae.model import SAE
from rsae.sae.refine.resolvent import Resolvent
from rsae.training import compiled_step
from rsae.training.finetune import Outcome, finetune
from tests.training.parallel_worker import D_SAE, DATA, SETTINGS, Leaving, sae

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
    return sae("topk").with_refinement(Resolvent(torch.zeros(D_SAE))) if name == "resolvent" else sae(name)


def trained(step: str, name: str, objective: Any, precision: Any, **kwargs: Any) -> tuple[SAE, Outcome]:
    os.environ["RSAE_STEP"] = step
    tuned = made(name).to(device())
    settings = SETTINGS._replace(objective=objective, precision=precision)
    return tuned, finetune(tuned, DATA, settings, seed=0, **kwargs)


def distance(a: SAE, b: SAE) -> float:
    """Largest difference of two entries, in units of the largest entry of their tensor."""
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return max(float((p - q).abs().max() / q.abs().max().clamp_min(1e-3)) for p, q in pairs)


def compared(name: str, objective: str, precision: str) -> dict[str, Any]:
    eager, wanted = trained("eager", name, objective, precision)
    counters.clear()
    tuned, found = trained("compiled", name, objective, precision)
    return {
        "steps": [wanted.step, found.step],
        "losses": [[o.loss_first, o.loss_last, o.max_code] for o in (wanted, found)],
        "distance": distance(tuned, eager),
        "graphs": counters["stats"]["unique_graphs"],
        "breaks": len(counters["graph_break"]),
    }


def continued(folder: Path) -> dict[str, Any]:
    """A compiled fine-tune that was interrupted, against one that was not."""
    whole, _ = trained("compiled", "rational", "paper", "fp32")
    try:
        trained("compiled", "rational", "paper", "fp32", checkpoint=Leaving(folder / "kept.pt", "key", 7))
        raise AssertionError("it was to be interrupted")
    except SystemExit:
        pass
    again, _ = trained("compiled", "rational", "paper", "fp32", checkpoint=Checkpoint(folder / "kept.pt", "key"))
    return {"distance": distance(again, whole)}


def halved() -> dict[str, Any]:
    """Parts of a batch of 50 that hold 20 tokens at most: three of 13 and one of 11, each a shape of its own."""
    whole, _ = trained("compiled", "rational", "paper", "fp32")
    graph_of = compiled_step.compiled

    def limited(loss: Any) -> Any:
        graph = graph_of(loss)

        def call(sae: SAE, x: torch.Tensor, *rest: Any) -> Any:
            if len(x) > 20:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return graph(sae, x, *rest)

        return call

    with mock.patch.object(compiled_step, "compiled", limited):
        counters.clear()
        tuned, outcome = trained("compiled", "rational", "paper", "fp32")
    return {
        "parts": outcome.parts,
        "graphs": counters["stats"]["unique_graphs"],
        "distance": distance(tuned, whole),
    }


def failing(wanted: str, at: int, error: Exception) -> dict[str, Any]:
    """What becomes of a fine-tune whose ``at``-th graph torch's compiler cannot make code of: gradients are the second.

    Where nobody insists on a compiled step, it is what a long fine-tune on a GPU would take.
    """
    lower, graphs = GraphLowering.run, 0

    def run(self: GraphLowering, *args: Any) -> Any:
        nonlocal graphs
        graphs += 1
        if graphs == at:
            raise error
        return lower(self, *args)

    chosen = mock.patch.object(compiled_step, "mode", lambda *_: "compiled")
    with mock.patch.object(GraphLowering, "run", run), chosen, config.patch(fx_graph_cache=False):
        try:
            tuned, outcome = trained(wanted, "relu", "paper", "fp32")
        except ValueError as refusal:
            return {"refused": str(refusal)}
    eager, _ = trained("eager", "relu", "paper", "fp32")
    return {"step": outcome.step, "parts": outcome.parts, "distance": distance(tuned, eager)}


def main(folder: Path) -> None:
    set_up_torch()
    found: dict[str, Any] = {" ".join(case): compared(*case) for case in CASES}
    found |= {"continued": continued(folder), "halved": halved()}
    for at, where in ((1, "forward"), (2, "backward")):
        for wanted in ("", "compiled"):
            found[f"broken {where} {wanted}"] = failing(wanted, at, RuntimeError("no such instruction"))
        found[f"short {where}"] = failing("", at, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    found["resolvent"] = trained("compiled", "resolvent", "own", "fp32")[1].step
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
