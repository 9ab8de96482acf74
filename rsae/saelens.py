"""Importing this module teaches sae_lens the architecture ``rsae``: any gate, any refinement of this project.

    import rsae.saelens
    from sae_lens import SAE

    sae = SAE.load_from_disk("results/.../sae")

Without the import, sae_lens answers ``KeyError: 'rsae (import rsae.saelens)'``. It builds an SAE on the meta device
from its configuration alone and then assigns tensors, and it drops unknown keys without a word: so
:class:`RSAEConfig` declares every key, and every shape follows from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from sae_lens import SAE, SAEConfig, register_sae_class
from sae_lens.registry import SAE_CLASS_REGISTRY
from sae_lens.saes.sae import SAEMetadata
from torch import Tensor, nn
from typing_extensions import override

from rsae.sae import model as ours
from rsae.sae import refine as refinements
from rsae.sae.gates.base import Gate
from rsae.sae.gates.rational import Rational
from rsae.sae.gates.rescaled import Rescaled
from rsae.sae.gates.restore import shapes
from rsae.sae.refine.base import Refinement


@dataclass
class RSAEConfig(SAEConfig):
    """``cfg.json`` of an upgraded SAE.

    ``gate`` describes the gate; in older files, where it is None, ``degree``, ``center``, ``n_scales`` and ``tail`` are
    those of the paper's. ``support_eps``: feature j counts where |z_j| · ‖W_dec,j‖ exceeds
    it. ``codes``: ``hard`` sets all other features to exactly 0, which is what sae_lens.evals counts;
    ``raw`` leaves the gate's own output, in which a smooth gate has every feature active.
    """

    metadata: Any = field(default_factory=SAEMetadata)  # for a moment a dict, where sae_lens reads a file
    degree: list[int] | None = None
    center: float = 0.0
    n_scales: int = 1
    tail: bool = False
    gate: dict[str, Any] | None = None
    refinement: dict[str, Any] | None = None
    support_eps: float = 0.0
    codes: str = "hard"

    @override
    @classmethod
    def architecture(cls) -> str:
        return ours.ARCHITECTURE

    def __post_init__(self) -> None:
        """Refuse what describes no gate."""
        super().__post_init__()
        if self.codes not in ("hard", "raw"):
            raise ValueError(f"codes must be 'hard' or 'raw', got {self.codes!r}")
        if self.gate is None and self.degree is None:
            raise ValueError("neither `gate` nor `degree` is in the configuration: it describes no gate")
        if self.gate is None:
            flat = {"degree": self.degree, "center": self.center, "n_scales": self.n_scales, "tail": self.tail}
            self.gate = {"architecture": Rational.architecture, **flat}

    def blank(self) -> tuple[Gate, Refinement | None]:
        """Gate and refinement with every tensor 1, of the shapes that weights must have."""
        assert self.gate is not None
        described, wanted = self.to_dict(), shapes(self.gate, self.d_sae)
        if self.refinement:
            wanted |= refinements.shapes(self.refinement, self.d_sae)
        return ours.restored_parts(described, {name: torch.ones(shape) for name, shape in wanted.items()})


class RSAE(SAE[RSAEConfig]):
    """An upgraded SAE for inference in sae_lens: the gate and the refinement are the very modules that were trained.

    Raises:
        ValueError: half precision, in which neither rational coefficients nor the solve hold.
    """

    b_enc: nn.Parameter
    gate: Gate
    refine: Refinement | None

    @override
    def initialize_weights(self) -> None:
        self._refuse_half()
        super().initialize_weights()
        self.b_enc = nn.Parameter(torch.zeros(self.cfg.d_sae, dtype=self.dtype, device=self.device))
        self._hold(*self.cfg.blank())

    def _hold(self, gate: Gate, refine: Refinement | None) -> None:
        where = {"dtype": self.dtype, "device": self.W_dec.device}
        self.gate = gate.to(**where)
        self.refine = None if refine is None else refine.to(**where)

    def _refuse_half(self) -> None:
        # .half(), .bfloat16() and .double() change weights alone, and inputs are cast to self.dtype
        self.dtype = self.W_enc.dtype if hasattr(self, "W_enc") else self.dtype
        if self.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"an rsae SAE runs in float32 or float64, not {self.dtype}; load it with dtype='float32'")

    @override
    def encode(self, x: Tensor) -> Tensor:
        self._refuse_half()
        sae_in = self.process_sae_in(x)
        h = self.hook_sae_acts_pre(sae_in @ self.W_enc + self.b_enc)
        # gates and refinements read rows; sae_lens hands over batches of sequences
        z = self.gate(h.reshape(-1, self.cfg.d_sae))
        if self.refine is not None:
            centred = sae_in if self.cfg.apply_b_dec_to_input else sae_in - self.b_dec
            z = self.refine(centred.reshape(-1, self.cfg.d_in), z, self.W_dec)
        if self.cfg.codes == "hard":
            z = ours.cut(z, self.W_dec, self.cfg.support_eps)
        return self.hook_sae_acts_post(z.reshape(h.shape))

    @override
    def decode(self, feature_acts: Tensor) -> Tensor:
        self._refuse_half()
        x_hat = self.hook_sae_recons(feature_acts @ self.W_dec + self.b_dec)
        x_hat = self.run_time_activation_norm_fn_out(x_hat)
        return self.reshape_fn_out(x_hat, self.d_head)

    @override
    def process_state_dict_for_loading(self, state_dict: dict[str, Any]) -> None:
        """From the file's tensors to the modules' parameters, such as C_in to its logarithm."""
        tensors = {k: state_dict.pop(k) for k in [*state_dict] if k not in ours.LINEAR}
        parts = ours.restored_parts(self.cfg.to_dict(), tensors)
        for name, part in zip(("gate", "refine"), parts, strict=True):
            if part is not None:
                state_dict |= {f"{name}.{k}": v for k, v in part.state_dict().items()}

    @override
    def process_state_dict_for_saving(self, state_dict: dict[str, Any]) -> None:
        for name in [*state_dict]:
            if name.startswith(("gate.", "refine.")):
                del state_dict[name]
        for part in (self.gate, self.refine):
            if part is not None:
                state_dict |= {k: v.detach().contiguous() for k, v in part.tensors().items()}

    @override
    @torch.no_grad()
    def fold_W_dec_norm(self) -> None:
        """Unit decoder rows, codes times the old norms; x_hat, and which features count, stay.

        W_enc and b_enc take the norms where the gate has a form for it (a rational one: C_in · ‖W_dec‖
        and C_out · ‖W_dec‖ per feature). Where it has none, for TopK compares features and a shared
        polynomial is of one shape, they stay, and the norms become scales behind the gate.

        Raises:
            NotImplementedError: refined by `steps`, whose one length cannot serve norms that differ.
        """
        norm = self.get_W_dec_norm()
        refine = None if self.refine is None else self.refine.stretched(norm)
        gate = self.gate.stretched(norm)
        if gate is None:
            gate = Rescaled(self.gate, norm.log())
            self.W_dec.div_(norm.unsqueeze(1))
        else:
            self.fold_and_get_W_dec_norm()
        self._hold(gate, refine)
        for key, value in {
            "gate": None, "refinement": None, **ours.described_parts(gate, refine, self.cfg.support_eps)
        }.items():  # fmt: skip
            if key != "architecture":
                setattr(self.cfg, key, value)

    @override
    @torch.no_grad()
    def fold_activation_norm_scaling_factor(self, scaling_factor: float) -> None:
        """Read activations that are ``scaling_factor`` times smaller; the support rule is in their unit too."""
        refine = None if self.refine is None else self.refine.stretched(torch.tensor(scaling_factor))
        if refine is not None and refine.cut is not None:
            refine.cut /= scaling_factor
            self.cfg.refinement = refine.described()
        super().fold_activation_norm_scaling_factor(scaling_factor)
        self.cfg.support_eps /= scaling_factor
        self._hold(self.gate, refine)

    @override
    def fold_activation_whitening(self, mean: Tensor, whitening_matrix: Tensor, unwhitening_matrix: Tensor) -> None:
        """Refused: whitening bends the decoder rows whose norms and angles decide codes here."""
        raise NotImplementedError("whitening cannot be folded into an rsae SAE; fold it into the teacher first")


def convert(sae: ours.SAE, metadata: Mapping[str, Any] | None = None) -> SAE[Any]:
    """An SAE of this project as sae_lens's object, without a way over the disk."""
    converted = SAE.from_dict(sae.cfg(metadata or {}))
    tensors: dict[str, Any] = {k: v.clone() for k, v in sae.tensors().items()}
    converted.process_state_dict_for_loading(tensors)
    converted.load_state_dict(tensors, assign=True)
    return converted


for _name in (ours.ARCHITECTURE, "rsae"):  # the second in older files
    if _name not in SAE_CLASS_REGISTRY:
        register_sae_class(_name, RSAE, RSAEConfig)
