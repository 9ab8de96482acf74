"""What the resolvent costs when codes are read: ``python -m benchmarks.encode``; writes one JSON.

Encode time of a TopK SAE, of its resolvent, and of one that proposes 1.5 times as many features and keeps k,
alternating in one process, at the shape of GPT-2 small's public SAEs, beside the operations that the formulas ask for.
"""

import argparse
import datetime
import functools
import json
import platform
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.timing import Goal, alternate, row
from rsae.sae.gates.topk import TopK
from rsae.sae.model import SAE
from rsae.sae.refine.resolvent import Resolvent
from rsae.sae.support import settle

PROPOSED = 1.5  # as the arm `pruned` does
KEPT = Path(__file__).parent / "results/encode.json"


def operations(d_in: int, d_sae: int, k: int) -> dict[str, float]:
    """Multiply-adds per token, doubled: encoder; Gram matrix, factor and solves of one support."""
    encoder, wide = 2 * d_in * d_sae, round(PROPOSED * k)
    resolvent = 2 * k * k * d_in + k**3 / 3 + 2 * k * d_in + 4 * k * k
    # one Gram matrix, two factors and solves: the second system is the first one without some rows and columns
    pruned = 2 * wide * wide * d_in + 2 * wide**3 / 3 + 2 * wide * d_in + 8 * wide * wide
    return {
        "encoder": encoder,
        "resolvent": resolvent,
        "ratio": 1 + resolvent / encoder,
        "pruned": pruned,
        "ratio_pruned": 1 + pruned / encoder,
    }


def contestants(
    d_in: int, d_sae: int, k: int, n_tok: int, device: torch.device | None = None
) -> dict[str, Callable[[], Tensor]]:
    """What encodes ``n_tok`` tokens, by name."""
    g = torch.Generator().manual_seed(0)
    W_dec = torch.nn.functional.normalize(torch.randn(d_sae, d_in, generator=g), dim=1)
    teacher = SAE(W_dec.T.contiguous(), torch.zeros(d_sae), W_dec, torch.zeros(d_in), TopK(k)).to(device)
    refined = teacher.with_refinement(Resolvent(torch.zeros(d_sae)))
    pruned = teacher.with_gate(TopK(round(PROPOSED * k))).with_refinement(Resolvent(torch.zeros(d_sae), cut=0.0))
    pruned, x = pruned.to(device), torch.randn(n_tok, d_in, generator=g).to(device)
    settle(pruned, [x], float(k))
    saes = {"teacher": teacher, "resolvent": refined.to(device), "pruned": pruned}
    return {name: functools.partial(sae.encode, x) for name, sae in saes.items()}


def measure(d_in: int, d_sae: int, k: int, n_tok: int, runs: int) -> list[dict]:
    """Seconds of each and their ratios, as lines of the table."""
    with torch.no_grad():
        seconds = alternate(contestants(d_in, d_sae, k, n_tok), runs)
    return [
        row(f"encode, {name} against its TopK teacher", seconds, name, "teacher", Goal(2.0, False))
        for name in ("resolvent", "pruned")
    ]


def run() -> list[dict]:
    """At the shape of GPT-2 small's public SAEs."""
    return measure(768, 24576, 32, 512, 7)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("d-in", 768), ("d-sae", 24576), ("k", 32), ("n-tok", 512), ("runs", 7)):
        parser.add_argument(f"--{name}", type=int, default=value)
    a = parser.parse_args()
    torch.set_num_threads(1)
    found = {
        "shape": {"d_in": a.d_in, "d_sae": a.d_sae, "k": a.k, "n_tok": a.n_tok},
        "operations_per_token": operations(a.d_in, a.d_sae, a.k),
        "cpu_one_thread": measure(a.d_in, a.d_sae, a.k, a.n_tok, a.runs),
        "date": datetime.date.today().isoformat(),
        "machine": platform.platform(terse=True),
        "torch": torch.__version__,
    }
    KEPT.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
