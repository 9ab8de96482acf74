"""Steps of dictionary_learning's trainer of a ReLU SAE, one for each line that comes in; under its own interpreter.

python dictionary_learning_peer.py D_IN D_SAE BATCH
"""

import contextlib
import sys

import torch
from dictionary_learning.trainers import StandardTrainer  # type: ignore[import-not-found]


def main(d_in: int, d_sae: int, batch: int) -> None:
    """Answer each line with the number of the step that was made."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    trainer = StandardTrainer(
        steps=10**9, activation_dim=d_in, dict_size=d_sae, layer=0, lm_name="none", lr=1e-5, l1_penalty=0.1,
        warmup_steps=1, sparsity_warmup_steps=1, device="cpu",
    )  # fmt: skip
    x = torch.randn(batch, d_in)
    for step, _ in enumerate(sys.stdin):
        with contextlib.redirect_stdout(sys.stderr):
            trainer.update(step, x)
        print(step, flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
