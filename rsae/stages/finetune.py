"""Fine-tune one arm with one seed."""

from pathlib import Path

import torch

from rsae.files import write_json
from rsae.gates import kernels
from rsae.gates.rational import Rational
from rsae.sae import SAE
from rsae.shards import Shards
from rsae.stages.common import settle_support
from rsae.upgrade.finetune import Settings, finetune


def run(
    start: Path,
    teacher: Path,
    activations: Path,
    threshold: Path,
    out: Path,
    report: Path,
    *,
    arm: str,
    order_seed: int,
    steps: int,
    batch: int,
    lr: float,
    slow_lr: float,
    decay_share: float,
    l1_coefficient: float,
) -> None:
    """Train from ``start`` on cached activations; write the SAE and a report of the training."""
    torch.set_num_threads(1)  # parallelism is between jobs; the results do not depend on the cores
    sae, source = SAE.load(start), SAE.load(teacher)
    shards = Shards(activations)
    if shards.d_in != sae.d_in:
        raise ValueError(f"{activations} has d_in={shards.d_in}, the SAE {start} has {sae.d_in}; wrong hook?")
    data = torch.from_numpy(shards.load().x)
    path = "plain"
    if isinstance(sae.gate, Rational):
        path = kernels.path()
        sae.gate.compiled = path == "compiled"
    settings = Settings(steps, batch, lr, slow_lr, decay_share, l1_coefficient)
    outcome = finetune(sae, data, settings, order_seed)
    if isinstance(sae.gate, Rational):
        sae.gate.compiled = False  # evaluation has other shapes, not worth a compilation
    settle_support(sae, source, threshold)
    sae.save(out, {"hook_name": shards.manifest["hook"], "arm": arm, **settings._asdict()})
    write_json(
        report,
        {
            "arm": arm,
            "gate_path": path,
            "torch_threads": torch.get_num_threads(),
            "tokens_trained": steps * batch,
            "tokens_distinct": shards.n_tok,
            "passes": steps * batch / shards.n_tok,
            **outcome._asdict(),
        },
    )
