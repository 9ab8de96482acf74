"""One linear skeleton that holds one gate: x -> h -> z -> x_hat."""

import copy
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save
from torch import Tensor, nn

from rsae.runtime.device import device
from rsae.runtime.files import SEAL, reading, replacing, sealed, sha256, short, unsealed
from rsae.runtime.matmul import affine
from rsae.sae import refine as refinements
from rsae.sae.gates.base import Gate
from rsae.sae.gates.restore import restore, shapes
from rsae.sae.refine.base import Refinement

CFG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
# What sae_lens knows once rsae.saelens is imported; holds any gate and any refinement. Where it is not imported,
# sae_lens's KeyError says nothing but this name: so the name says what to do.
ARCHITECTURE = "rsae (import rsae.saelens)"
NATIVE = ("standard", "jumprelu", "topk")  # gates that sae_lens has itself
NEEDS = "sae_lens knows this architecture after `import rsae.saelens`; rsae/standalone.py reads it with torch alone"
LINEAR = ("W_enc", "b_enc", "W_dec", "b_dec")
SAE_LENS_FORMAT = "6.54.12"  # the version of sae_lens whose file format this is
Normalization = Literal["none", "layer_norm"]  # sae_lens's words
LAYER_NORM_EPS = 1e-5  # added to the std on the way in, and not on the way out, as in sae_lens


class SAE(nn.Module):
    """h = W_encᵀ(x - b_dec) + b_enc, z = gate(h), x_hat = W_decᵀz + b_dec.  [RSAE, §Method]

    A refinement, if there is one, improves z on its own support before it is decoded (ours).

    ``apply_b_dec_to_input=False`` leaves out the subtraction, as public JumpReLU teachers do.
    ``normalize_activations="layer_norm"`` reads (x - mean) / std of each token instead of x and gives
    mean and std back to x_hat, as OpenAI's SAEs for GPT-2 do; codes then carry no unit.
    ``eps`` is the support rule: feature j counts where |z_j| · ‖W_dec,j‖ > eps. It stays 0 for
    gates with exact zeros.

    Raises:
        ValueError: shapes do not fit each other (a transposed decoder, a missing bias).
    """

    def __init__(
        self,
        W_enc: Float[Tensor, "d_in d_sae"],
        b_enc: Float[Tensor, " d_sae"],
        W_dec: Float[Tensor, "d_sae d_in"],
        b_dec: Float[Tensor, " d_in"],
        gate: Gate,
        *,
        apply_b_dec_to_input: bool = True,
        normalize_activations: Normalization = "none",
        eps: float = 0.0,
        refine: Refinement | None = None,
    ) -> None:
        super().__init__()
        d_in, d_sae = W_enc.shape
        given = {"W_enc": W_enc, "b_enc": b_enc, "W_dec": W_dec, "b_dec": b_dec}
        wanted = {"W_enc": (d_in, d_sae), "b_enc": (d_sae,), "W_dec": (d_sae, d_in), "b_dec": (d_in,)}
        for name, tensor in given.items():
            if tuple(tensor.shape) != wanted[name]:
                raise ValueError(
                    f"{name} has shape {tuple(tensor.shape)}, expected {wanted[name]} beside W_enc"
                    f" {tuple(W_enc.shape)}; is it transposed?"
                )
            setattr(self, name, nn.Parameter(tensor.detach().float().clone()))
        if normalize_activations not in get_args(Normalization):
            raise ValueError(f"normalize_activations {normalize_activations!r} is not supported; fold it first")
        self.gate, self.refine, self.eps = gate, refine, eps
        self.apply_b_dec_to_input = apply_b_dec_to_input
        self.normalize_activations: Normalization = normalize_activations

    W_enc: Tensor
    b_enc: Tensor
    W_dec: Tensor
    b_dec: Tensor

    @property
    def d_in(self) -> int:
        """Width of the residual stream."""
        return self.W_enc.shape[0]

    @property
    def d_sae(self) -> int:
        """Number of features."""
        return self.W_enc.shape[1]

    def with_gate(self, gate: Gate) -> "SAE":
        """A copy of everything linear that carries another gate; its eps is 0 again."""
        return self._copy(gate, None)

    def with_refinement(self, refinement: Refinement) -> "SAE":
        """A copy whose codes are refined.

        Raises:
            ValueError: the gate has no exact zeros, so there is no support to refine on.
        """
        if not self.gate.exact_zeros:
            raise ValueError(f"codes are refined on a support; the gate {self.gate.architecture!r} has no exact zeros")
        return self._copy(copy.deepcopy(self.gate), refinement)

    def _copy(self, gate: Gate, refine: Refinement | None) -> "SAE":
        copied = SAE(
            *(getattr(self, name) for name in LINEAR),
            gate=gate,
            refine=refine,
            apply_b_dec_to_input=self.apply_b_dec_to_input,
            normalize_activations=self.normalize_activations,
        )
        return copied.to(self.W_dec.device)

    def preactivations(self, x: Float[Tensor, "n_tok d_in"]) -> Float[Tensor, "n_tok d_sae"]:
        """h, in activation units."""
        x = self.normalised(x)
        if torch.is_autocast_enabled(x.device.type):
            # factors are rounded: of x as it stands, a large mean would leave little but its own digits
            x = x - self.b_dec if self.apply_b_dec_to_input else x
            return (x @ self.W_enc).float() + self.b_enc
        # (x - b_dec) W = x W - b_dec W: the bias is folded so that x is read once
        bias = self.b_enc - self.b_dec @ self.W_enc if self.apply_b_dec_to_input else self.b_enc
        return affine(x, self.W_enc, bias)

    def normalised(self, x: Float[Tensor, "n_tok d_in"]) -> Float[Tensor, "n_tok d_in"]:
        """What the encoder reads: x, or x without its mean in units of its std."""
        if self.normalize_activations == "none":
            return x
        mean, std = _moments(x)
        return (x - mean) / (std + LAYER_NORM_EPS)

    def encode(self, x: Float[Tensor, "n_tok d_in"]) -> Float[Tensor, "n_tok d_sae"]:
        """Raw codes z, dense for a smooth gate; refined where the SAE has a refinement."""
        z = self.gate(self.preactivations(x))
        return z if self.refine is None else self.refined(x, z)

    def refined(self, x: Float[Tensor, "n_tok d_in"], z0: Float[Tensor, "n_tok d_sae"]) -> Float[Tensor, "n_tok d_sae"]:
        """The refinement's codes, from the gate's codes ``z0``."""
        assert self.refine is not None
        return self.refine(self.normalised(x) - self.b_dec, z0, self.W_dec)

    def proposed(self, x: Float[Tensor, "n_tok d_in"]) -> Float[Tensor, "n_tok d_sae"]:
        """The codes from which a refinement with a ``cut`` keeps the strong ones."""
        assert self.refine is not None
        return self.refine.proposed(self.normalised(x) - self.b_dec, self.gate(self.preactivations(x)), self.W_dec)

    def hard(self, z: Float[Tensor, "n_tok d_sae"]) -> Float[Tensor, "n_tok d_sae"]:
        """Codes with everything outside the declared support set to exactly 0."""
        return cut(z, self.W_dec, self.eps)

    def strength(self, z: Float[Tensor, "n_tok d_sae"]) -> Float[Tensor, "n_tok d_sae"]:
        """|z_j| · ‖W_dec,j‖: what feature j writes, in activation units (of the token's std under layer_norm)."""
        return strength(z, self.W_dec)

    def decode(
        self, z: Float[Tensor, "n_tok d_sae"], x: Float[Tensor, "n_tok d_in"] | None = None
    ) -> Float[Tensor, "n_tok d_in"]:
        """x_hat, in activation units. ``x`` is read for its mean and std alone, under layer_norm.

        Raises:
            ValueError: the input is normalised and ``x`` is not given.
        """
        # what is rounded under autocast is z and W_dec, not the bias that dwarfs them
        rounded = torch.is_autocast_enabled(z.device.type)
        x_hat = (z @ self.W_dec).float() + self.b_dec if rounded else affine(z, self.W_dec, self.b_dec)
        return self.restored(x_hat, x)

    def restored(
        self, x_hat: Float[Tensor, "n_tok d_in"], x: Float[Tensor, "n_tok d_in"] | None
    ) -> Float[Tensor, "n_tok d_in"]:
        """Inverse of :meth:`normalised`, in mean and std of ``x``; raises what :meth:`decode` does."""
        if self.normalize_activations == "none":
            return x_hat
        if x is None:
            raise ValueError("an SAE that normalises its input decodes beside x; call decode(z, x)")
        mean, std = _moments(x)
        return x_hat * std + mean

    def tensors(self) -> dict[str, Tensor]:
        """All that is saved, by its name in the file."""
        linear = {name: getattr(self, name) for name in LINEAR}
        refined = {} if self.refine is None else self.refine.tensors()
        return {k: v.detach().contiguous() for k, v in (linear | self.gate.tensors() | refined).items()}

    def cfg(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """The content of ``cfg.json``.

        An SAE whose gate sae_lens has itself is described in sae_lens's words; every other one as
        :data:`ARCHITECTURE`, so that no reader takes it for a bare gate.
        """
        described = described_parts(self.gate, self.refine, self.eps)
        needs = {} if described["architecture"] in NATIVE else {"needs": NEEDS}
        return {
            **described,
            "d_in": self.d_in,
            "d_sae": self.d_sae,
            "dtype": "float32",
            "device": "cpu",
            "apply_b_dec_to_input": self.apply_b_dec_to_input,
            "normalize_activations": self.normalize_activations,
            "reshape_activations": "none",
            "support_eps": self.eps,
            "metadata": {"sae_lens_version": SAE_LENS_FORMAT, **needs, **metadata},
        }

    def save(self, folder: Path | str, metadata: Mapping[str, Any]) -> None:
        """Write ``cfg.json`` and ``sae_weights.safetensors``, in the layout of sae_lens.

        Raises:
            ValueError: a weight is not finite; nothing was saved.
        """
        tensors = self.tensors()
        for name, tensor in tensors.items():
            if not bool(torch.isfinite(tensor).all()):
                raise ValueError(f"{folder}: {name} is not finite; nothing was saved. Lower the learning rate")
        with replacing(folder) as temporary:
            temporary.mkdir()
            # bytes first: safetensors' own writer reports a full disk as an error of its own kind
            (temporary / WEIGHTS).write_bytes(save(tensors))
            cfg = sealed(self.cfg(metadata) | {"weights_sha256": sha256(temporary / WEIGHTS)})
            (temporary / CFG).write_text(json.dumps(cfg, indent=2, allow_nan=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path | str) -> "SAE":
        """Inverse of :meth:`save`.

        Raises:
            ValueError: a file is missing, truncated or altered, a key is missing, shapes clash.
        """
        folder = Path(folder)
        remedy = "make it again, or fetch it again"
        with reading(folder / CFG, remedy):
            cfg = json.loads((folder / CFG).read_text(encoding="utf-8"))
            if SEAL in cfg:  # an SAE of another writer carries none
                cfg = unsealed(cfg)
        with reading(folder / WEIGHTS, remedy):
            tensors = load_file(folder / WEIGHTS)
            if cfg.get("weights_sha256") not in (None, sha256(folder / WEIGHTS)):
                raise ValueError(f"its bytes differ from `weights_sha256` in {CFG}")
        try:
            _shaped(cfg, tensors)
            gate, refine = restored_parts(cfg, tensors)
            sae = cls(
                *(tensors[name] for name in LINEAR),
                gate=gate,
                apply_b_dec_to_input=cfg["apply_b_dec_to_input"],
                normalize_activations=cfg["normalize_activations"],
                eps=cfg.get("support_eps", 0.0),
                refine=refine,
            )
        except KeyError as error:
            raise ValueError(f"SAE {folder}: {error.args[0]!r} is missing from {CFG} or {WEIGHTS}") from error
        except Exception as error:  # a setting of another type, a tensor of another shape
            raise ValueError(f"SAE {folder}: {CFG} and {WEIGHTS} describe no SAE ({short(error)}); {remedy}") from error
        if (sae.d_in, sae.d_sae) != (cfg.get("d_in"), cfg.get("d_sae")):
            raise ValueError(
                f"SAE {folder}: weights are {sae.d_in} x {sae.d_sae}, {CFG} says {cfg.get('d_in')} x {cfg.get('d_sae')}"
            )
        return sae


def _shaped(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Raises ValueError where a gate's or a refinement's tensor could only be spread over the features to fit."""
    d_sae = tensors["W_enc"].shape[-1]
    refined = refinements.shapes(cfg["refinement"], d_sae) if cfg.get("refinement") else {}
    for name, shape in (shapes(cfg.get("gate") or cfg, d_sae) | refined).items():
        if tuple(tensors[name].shape) != shape:
            raise ValueError(f"{name} has shape {tuple(tensors[name].shape)}, expected {shape}")


def described_parts(gate: Gate, refine: Refinement | None, eps: float) -> dict[str, Any]:
    """What ``cfg.json`` says of everything that is not linear."""
    if refine is None and gate.architecture in NATIVE and eps == 0:
        return gate.described()
    refinement = None if refine is None else refine.described()
    return {"architecture": ARCHITECTURE, "gate": gate.described(), "refinement": refinement}


def restored_parts(cfg: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> tuple[Gate, Refinement | None]:
    """Inverse of :func:`described_parts`; in older files the paper's gate lies flat in ``cfg``.

    Raises:
        KeyError, ValueError: see :func:`rsae.sae.gates.restore.restore`.
    """
    gate = restore(cfg.get("gate") or cfg, tensors)
    return gate, refinements.restore(cfg["refinement"], tensors) if cfg.get("refinement") else None


def strength(z: Float[Tensor, "n_tok d_sae"], W_dec: Float[Tensor, "d_sae d_in"]) -> Float[Tensor, "n_tok d_sae"]:
    """|z_j| · ‖W_dec,j‖."""
    return z.abs() * W_dec.norm(dim=1)


def cut(
    z: Float[Tensor, "n_tok d_sae"], W_dec: Float[Tensor, "d_sae d_in"], eps: float
) -> Float[Tensor, "n_tok d_sae"]:
    """Codes with everything that is not stronger than ``eps`` set to exactly 0; as they are where eps is 0."""
    return z if eps == 0 else torch.where(strength(z, W_dec) > eps, z, 0.0)


def _moments(x: Float[Tensor, "n_tok d_in"]) -> tuple[Tensor, Tensor]:
    """Mean and (unbiased) standard deviation of each token; [n_tok, 1] each."""
    std, mean = torch.std_mean(x, dim=-1, keepdim=True)
    return mean, std


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """Hex sha256 of tensors by name: of what an SAE is, whatever file it lies in."""
    return hashlib.sha256(save({name: tensors[name].cpu() for name in sorted(tensors)})).hexdigest()


def load(folder: Path) -> SAE:
    """An SAE, on the device."""
    return SAE.load(folder).to(device())
