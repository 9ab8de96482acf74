"""The documents on which supports are settled, and nothing else."""

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from rsae.data.activations.batches import chunks
from rsae.data.activations.shards import Shards
from rsae.runtime.caller import word
from rsae.sae.gates.rational import Rational
from rsae.sae.model import SAE
from rsae.sae.support import is_open, mean_l0, settle


class Threshold:
    """Activations in a folder or in chunks, with the teacher's l0 there; both are read when first asked for."""

    def __init__(self, teacher: SAE, source: Path | Sequence[Tensor]) -> None:
        self.teacher, self.source = teacher, source

    @cached_property
    def data(self) -> Sequence[Tensor]:
        """Activations [n_tok, d_in] in chunks, on the device."""
        return list(chunks(Shards(self.source))) if isinstance(self.source, Path) else self.source

    @cached_property
    def l0(self) -> float:
        """The teacher's features per token."""
        return mean_l0(self.teacher, self.data)

    def settle(self, sae: SAE) -> dict[str, float]:
        """Freeze what decides the support so that its mean L0 is at most the teacher's here.

        Returns, of a rational gate, how many of these pre-activations it met outside of its design interval.
        """
        if not is_open(sae):
            return {}
        if not math.isfinite(settle(sae, self.data, self.l0)):
            raise ValueError(
                f"codes on {self._named} are not finite, so no support can be settled: pre-activations leave the range"
                f" of the gate; {word('stay within the range')}"
            )
        if not isinstance(sae.gate, Rational):
            return {}
        return {"share_outside_design_interval": self._share_outside(sae, sae.gate)}

    @property
    def _named(self) -> str:
        return str(self.source) if isinstance(self.source, Path) else "the threshold part"

    @torch.no_grad()
    def _share_outside(self, sae: SAE, gate: Rational) -> float:
        outside = sum(gate.outside(sae.preactivations(x)) * len(x) for x in self.data)
        return outside / sum(map(len, self.data))
