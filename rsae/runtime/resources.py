"""What a pair will take: bytes and seconds from shapes alone."""

from typing import NamedTuple

FP32 = 4
BYTES = {"float16": 2, "float32": FP32}
ALIVE = 6  # [batch, d_sae] tensors that a training step holds at once
GIB = 1 << 30
LOGITS = 4 << 30  # bytes: four batches of logits, each at most 1 GiB (see rsae.evaluate.downstream)
ROWS = 32  # of the host's context in one forward pass


def weights(d_in: int, d_sae: int) -> int:
    """Numbers in one SAE."""
    return d_sae * (2 * d_in + 1) + d_in


def training(d_in: int, d_sae: int, batch: int) -> int:
    """Bytes of device memory of a fine-tune: weights, gradients, two moments; and one batch."""
    return FP32 * (4 * weights(d_in, d_sae) + ALIVE * batch * d_sae)


class Shape(NamedTuple):
    """One pair."""

    parameters: int  # of the host
    vocab: int
    d_in: int
    d_sae: int
    ctx: int
    n_sites: int  # that come from one run of the host
    bytes_per_number: int  # of cached activations
    tokens: dict[str, int]  # per split
    n_sae: int
    n_tuned: int
    steps: int
    batch: int
    pool: int  # bytes of activations that a fine-tune holds, at most

    @property
    def weights(self) -> int:
        """Numbers in one SAE."""
        return weights(self.d_in, self.d_sae)

    @property
    def activations(self) -> int:
        """Bytes of the cached activations of all sites of the run, all splits."""
        return sum(self.tokens.values()) * self.d_in * self.bytes_per_number * self.n_sites

    @property
    def without_reuse(self) -> int:
        """Bytes of the fine-tuning activations if no token were seen twice."""
        return self.steps * self.batch * self.d_in * self.bytes_per_number

    @property
    def saes(self) -> int:
        """Bytes of the saved SAEs."""
        return self.n_sae * self.weights * FP32

    @property
    def harvesting(self) -> int:
        """Bytes of memory while activations are made."""
        return FP32 * (self.parameters + ROWS * self.ctx * self.d_in * (6 + 2 * self.n_sites))

    @property
    def training(self) -> int:
        """Bytes of device memory of a fine-tune."""
        return training(self.d_in, self.d_sae, self.batch)

    @property
    def evaluating(self) -> int:
        """Bytes of device memory of the downstream evaluation, whose logits come in chunks."""
        logits = min(LOGITS, ALIVE * FP32 * ROWS * self.ctx * self.vocab)
        return FP32 * (self.parameters + self.n_sae * self.weights) + logits

    @property
    def device(self) -> int:
        """Largest device memory of any stage."""
        return max(self.harvesting, self.training, self.evaluating)

    @property
    def memory(self) -> int:
        """Largest main memory of any stage, where the device is the CPU: a fine-tune holds activations, or a pool."""
        cached = min(self.tokens["finetune"] * self.d_in * self.bytes_per_number, self.pool)
        return max(self.training + cached, self.harvesting, self.evaluating)

    def seconds(self, rate: float) -> float:
        """Matrix products alone at ``rate`` operations per second: a floor, one job at a time."""
        tuning = self.n_tuned * self.steps * 10 * self.batch * self.d_in * self.d_sae  # five products of 2 b d m
        harvest = 2 * self.parameters * sum(self.tokens.values())
        evaluation = (2 + 2 * self.n_sae) * 2 * self.parameters * self.tokens["test"]
        return (tuning + harvest + evaluation) / rate
