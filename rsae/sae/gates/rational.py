"""The paper's gate: C_out · r(h / C_in), r a safe-Padé rational function shared by all features."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from rsae.rational.safe_pade import SafePade
from rsae.sae.codes import Places
from rsae.sae.gates.base import Gate
from rsae.sae.gates.kernels import RationalFunction
from rsae.sae.gates.kernels.tiled import Shape, value


class Rational(Gate):
    """Coefficients train relative to their start, in units of their effect on r.

    Raw coefficients of a (9, 8) fit span many decades: at one learning rate they either do not
    move or blow up. So c_j = c0_j + s_j d_j with s_j = 1 / rms |dr/dc_j| over [-1, 1], and d is
    trained. The scales are positive by construction: their logarithms are trained.
    """

    architecture = "rsae"
    exact_zeros = False

    def __init__(
        self,
        form: SafePade,
        c_in: Float[Tensor, " n_scales"],
        c_out: Float[Tensor, " n_scales"],
        tail: bool = False,
    ) -> None:
        super().__init__()
        if len(c_in) != len(c_out):
            raise ValueError(f"c_in has {len(c_in)} entries, c_out {len(c_out)}")
        if not (bool((c_in > 0).all()) and bool((c_out > 0).all())):
            raise ValueError("C_in and C_out must be positive")
        self.center, self.tail = float(form.center), tail
        s_num, s_den = np.split(1 / form.effects(), [len(form.num)])
        for name, start in (("num0", form.num), ("den0", form.den), ("s_num", s_num), ("s_den", s_den)):
            self.register_buffer(name, torch.tensor(np.asarray(start), dtype=torch.float32))
        self.d_num = nn.Parameter(torch.zeros(len(form.num)))
        self.d_den = nn.Parameter(torch.zeros(len(form.den)))
        self.log_c_in = nn.Parameter(c_in.detach().double().log().float())
        self.log_c_out = nn.Parameter(c_out.detach().double().log().float())

    num0: Tensor
    den0: Tensor
    s_num: Tensor
    s_den: Tensor

    @property
    def num(self) -> Float[Tensor, " p1"]:
        """Numerator, ascending in u."""
        return self.num0 + self.s_num * self.d_num

    @property
    def den(self) -> Float[Tensor, " q1"]:
        """A's coefficients b_0 .. b_q, ascending in u."""
        return self.den0 + self.s_den * self.d_den

    def forward(self, h: Float[Tensor, "n_tok d_sae"]) -> Float[Tensor, "n_tok d_sae"]:
        return self.codes_and_l1(h)[0]

    def codes_and_l1(
        self, h: Float[Tensor, "n_tok d_sae"]
    ) -> tuple[Float[Tensor, "n_tok d_sae"], Float[Tensor, " n_tok"]]:
        scales = (-self.log_c_in).exp(), self.log_c_out.exp()
        if type(h) is not Tensor:  # divided among processes: the kernels want one stretch of memory
            z = value(h, Shape(self.num, self.den, *scales, self.center, self.tail))
            return z, z.abs().sum(-1)
        vectors = (scale.expand(h.shape[-1]).contiguous() for scale in scales)
        return RationalFunction.apply(h, self.num, self.den, *vectors, self.center, self.tail)  # type: ignore[return-value]

    def at(self, h_at: Float[Tensor, " n"], places: Places, h: Float[Tensor, "n_tok d_sae"]) -> Float[Tensor, " n"]:
        # each place is a feature of one token, with scales of its own
        logs = (log.expand(places.d_sae).index_select(0, places.feature) for log in (-self.log_c_in, self.log_c_out))
        scales = (log.exp() for log in logs)
        shape = self.num, self.den, *scales, self.center, self.tail
        z: Any = RationalFunction.apply(h_at[None], *shape)[0]  # type: ignore[index]
        return z[0]

    def stretched(self, norm: Float[Tensor, " d_sae"]) -> "Rational":
        """C_in and C_out times ``norm``: one of each per feature from here on.  [safe-Padé is not 1-homogeneous]"""
        scales = [log.exp().expand_as(norm) * norm for log in (self.log_c_in, self.log_c_out)]
        num, den = (c.detach().double().cpu().numpy() for c in (self.num, self.den))
        return Rational(SafePade(num, den, self.center), scales[0], scales[1], self.tail)

    def tensors(self) -> dict[str, Tensor]:
        # in float64, so that the logarithms come back to the last bit: a steep jump magnifies that bit
        scales = {"c_in": self.log_c_in.double().exp(), "c_out": self.log_c_out.double().exp()}
        return {"num": self.num, "den": self.den, **scales}

    def settings(self) -> dict[str, Any]:
        return {
            "degree": [len(self.num0) - 1, len(self.den0) - 1],
            "center": self.center,
            "n_scales": self.log_c_in.numel(),
            "tail": self.tail,
        }

    def slow_parameters(self) -> list[nn.Parameter]:
        return [self.d_num, self.d_den, self.log_c_in, self.log_c_out]

    @torch.no_grad()
    def outside(self, h: Float[Tensor, "n_tok d_sae"]) -> float:
        """Share of pre-activations beyond the design interval, |h / C_in| > 1."""
        return float((h.abs() > self.log_c_in.exp()).float().mean())
