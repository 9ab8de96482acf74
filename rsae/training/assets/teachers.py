"""Train the embedded teachers with sae_lens's own trainers, on cached activations."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from sae_lens import (
    JumpReLUTrainingSAEConfig,
    StandardTrainingSAEConfig,
    TopKTrainingSAEConfig,
    TrainingSAE,
)
from sae_lens.config import LoggingConfig, SAETrainerConfig
from sae_lens.training.sae_trainer import SAETrainer
from torch import Tensor

from rsae.data.activations.shards import Shards

CONFIGS = {
    "relu": StandardTrainingSAEConfig,
    "jumprelu": JumpReLUTrainingSAEConfig,
    "topk": TopKTrainingSAEConfig,
}
CURVE_POINTS = 20


def train_teacher(
    *,
    activations: Path,
    validation: Path,
    out: Path,
    kind: str,
    d_sae: int,
    steps: int,
    batch: int,
    lr: float,
    warm_up: int,
    decay: int,
    options: dict[str, Any],
    seed: int,
) -> dict[str, object]:
    """Train one SAE and write it as sae_lens does (``cfg.json``, ``sae_weights.safetensors``).

    ``options`` go to sae_lens's training config of this kind. Decoder rows end with unit norm and
    normalisation folded in, so the files need no run-time rescaling. Returns the facts for the
    card: tokens and the curve of held-out mse (per token, summed over d_in), l0 and alive.
    """
    torch.manual_seed(seed)
    source = Shards(activations)
    data = torch.from_numpy(source.load().x)
    held_out = torch.from_numpy(Shards(validation).load().x).float()
    sae: Any = TrainingSAE.from_dict(
        CONFIGS[kind](
            d_in=source.d_in, d_sae=d_sae, normalize_activations="expected_average_only_in", **options
        ).to_dict()
    )
    with torch.no_grad():  # b_dec starts at the data mean, in the space that the trainer scales to
        scale = source.d_in**0.5 / data.float().norm(dim=1).mean()
        sae.b_dec.copy_(data.float().mean(0) * scale)
    curve: list[dict[str, float]] = []
    trainer: Any = SAETrainer(
        SAETrainerConfig(
            total_training_samples=steps * batch,
            train_batch_size_samples=batch,
            lr=lr,
            lr_end=lr / 10,
            lr_warm_up_steps=warm_up,
            lr_decay_steps=decay,
            n_batches_for_norm_estimate=100,
            logger=LoggingConfig(log_to_wandb=False),
        ),
        sae,
        _stream(data, batch, seed),
    )
    every = max(1, steps // CURVE_POINTS)
    plain_step = trainer.step

    def step(x: Tensor) -> Any:
        if trainer.n_training_steps % every == 0:
            curve.append(_judge(sae, held_out, trainer.activation_scaler.scaling_factor or 1.0))
            print(f"{kind} step {trainer.n_training_steps}/{steps} {curve[-1]}", flush=True)
        return plain_step(x)

    trainer.step = step
    trainer.fit()
    sae.fold_W_dec_norm()
    if kind == "topk":
        sae.cfg.rescale_acts_by_decoder_norm = False  # norms are one now
    curve.append(_judge(sae, held_out, 1.0))
    print(f"{kind} done {curve[-1]}", flush=True)
    sae.cfg.metadata.hook_name = source.manifest["hook"]
    sae.save_inference_model(out)
    return {"tokens_seen": steps * batch, "tokens_distinct": source.n_tok, "curve": curve}


@torch.no_grad()
def _judge(sae: Any, x: Tensor, scale: float) -> dict[str, float]:
    """Held-out mse in the data's own units, l0 and share of alive features."""
    error = l0 = 0.0
    alive = torch.zeros(sae.cfg.d_sae, dtype=torch.bool)
    was_training = sae.training
    sae.eval()
    for chunk in x.split(4096):
        z = sae.encode(chunk * scale)
        error += float((chunk - sae.decode(z) / scale).square().sum())
        l0 += float((z != 0).sum())
        alive |= (z != 0).any(0)
    sae.train(was_training)
    return {
        "mse_sum": round(error / len(x), 5),
        "l0": round(l0 / len(x), 3),
        "alive": round(float(alive.float().mean()), 4),
    }


def _stream(data: Tensor, batch: int, seed: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(data), generator=generator)
        for rows in order.split(batch):
            if len(rows) == batch:
                yield data[rows].float()
