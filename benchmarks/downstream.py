"""Delta CE of one SAE and of three at a site: ours against sae_lens's evaluation, on the embedded host."""

import warnings
from typing import Any

import numpy as np
import torch
from sae_lens import SAE as PeersSAE
from sae_lens.evals import get_downstream_reconstruction_metrics
from sae_lens.training.activation_scaler import ActivationScaler

from benchmarks.harvest import CTX, EMBEDDED, PEERS
from benchmarks.timing import Goal, alternate, row
from rsae.config.types import KINDS
from rsae.data.activations.host import Host
from rsae.data.text.tokens import Row, TokenRows
from rsae.evaluate.downstream import Replacement, ablations, downstream_sums
from rsae.sae import loading

HOOK, N_ROW, D_IN = "blocks.1.hook_resid_post", 16, 128
TEACHERS = EMBEDDED.parent / "teachers"
GOALS = {1: Goal(1.6, True), 3: Goal(2.5, True)}


class _Tokens:
    """All that sae_lens's evaluation asks of a store."""

    def __init__(self, ids: torch.Tensor) -> None:
        self.ids = ids

    def get_batch_tokens(self, n: int) -> torch.Tensor:
        assert n == len(self.ids)
        return self.ids


def run() -> list[dict]:
    """Both give the clean, spliced and zero-ablated CE, and the KL of the splice; sae_lens one SAE at a time."""
    ids = torch.randint(1, 2048, (N_ROW, CTX), generator=torch.Generator().manual_seed(0))
    rows = TokenRows([Row(i, str(i), x.numpy().astype(np.int32)) for i, x in enumerate(ids)], False)
    host = Host(EMBEDDED, HOOK)
    tokens: Any = _Tokens(ids)
    mine = [loading.load(TEACHERS / kind, kind, D_IN) for kind in KINDS]
    peers: list[Any] = [PeersSAE.load_from_disk(TEACHERS / kind) for kind in KINDS]
    models = {name: make(EMBEDDED) for name, make in PEERS.items()}

    def ours(n: int) -> None:
        splices = [Replacement([i], lambda x, s=s: [s.decode(s.encode(x), x)]) for i, s in enumerate(mine[:n])]
        downstream_sums(host, rows, N_ROW, splices, {"zero": ablations(torch.zeros(D_IN))["zero"]})

    def theirs(n: int, model: Any) -> None:
        for peer in peers[:n]:
            get_downstream_reconstruction_metrics(
                peer, model, tokens, ActivationScaler(), compute_kl=True, compute_ce_loss=True, n_batches=1,
                eval_batch_size_prompts=N_ROW,
            )  # fmt: skip

    found = []
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        for n, goal in GOALS.items():
            contestants: dict[str, Any] = {name: lambda n=n, m=m: theirs(n, m) for name, m in models.items()}
            seconds = alternate(contestants | {"ours": lambda n=n: ours(n)}, 5)
            what = "one SAE" if n == 1 else f"{n} SAEs at a site"
            found += [
                row(f"delta CE of {what}, times faster than sae_lens's over a {name}", seconds, "ours", name, goal)
                for name in models
            ]
    return found
