"""sae_lens's own layout: ``cfg.json`` and ``sae_weights.safetensors``, read by sae_lens itself."""

import json
import math
import warnings
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from rsae.config.types import Kind
from rsae.sae.loading.said import SaidError, account
from rsae.sae.loading.weights import Weights, refuse_unsupported
from rsae.sae.model import ARCHITECTURE, CFG, WEIGHTS

# keys of cfg.json that decide what is computed, or are looked at here
USED = (
    "architecture", "d_in", "d_sae", "apply_b_dec_to_input", "normalize_activations", "reshape_activations", "metadata",
    "k", "activation_fn", "activation_fn_str", "activation_fn_kwargs", "rescale_acts_by_decoder_norm", "hook_name",
    "hook_point", "hook_head_index", "hook_point_head_index", "model_from_pretrained_kwargs", "prepend_bos",
    "context_size", "weights_sha256", "sha256", "support_eps", "gate", "refinement",
)  # fmt: skip
# beginnings of keys by which training, logging and bookkeeping are described, by sae_lens of all versions: the weights
# are as these left them
HARMLESS = (
    "act_store_", "adam_", "apply_noise", "autocast", "aux_", "b_dec_init", "cached_", "checkpoint", "compile_",
    "dataset_", "dead_feature_", "decoder_heuristic", "decoder_init_norm", "decoder_orthogonal", "device",
    "disable_concat_", "dtype", "eval_", "exclude_special_tokens", "expansion_factor", "feature_sampling_",
    "finetuning_method", "finetuning_tokens", "from_pretrained_path", "hf_hook_name", "hook_eval", "hook_layer",
    "hook_point_layer", "init_encoder_", "is_dataset_", "jumprelu_", "l0_", "l1_", "llm_", "log_", "logger",
    "lp_norm", "lr", "matryoshka_", "model_", "mse_loss_", "n_", "neuronpedia_id", "noise_density",
    "normalize_sae_decoder", "output_path", "pre_act_loss_", "prepend_", "resume", "run_name", "sae_compilation",
    "sae_lens_", "save_", "scale_sparsity_", "seed", "seqpos_slice", "sequence_separator", "sparsity_",
    "store_batch_", "streaming", "tokens_per_", "topk_threshold_", "total_training_", "train_", "training_",
    "use_cached_", "use_ghost_grads", "verbose", "wandb_",
)  # fmt: skip
ACTIVATIONS = ("relu", "topk", "jumprelu")
KINDS: dict[str, Kind] = {"standard": "relu", "jumprelu": "jumprelu", "topk": "topk"}


def open_sae(folder: Path, what: str) -> Any:
    """sae_lens's object, older configurations converted as sae_lens does.

    Raises:
        ValueError: unreadable, truncated or transposed; or a gate that the skeleton cannot hold.
    """
    # slow to import, so only the stage that reads a foreign format pays for it
    from sae_lens import SAE

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _check(folder, what)
            return SAE.load_from_disk(folder, device="cpu")
    except SaidError:
        raise
    except SafetensorError as error:
        raise ValueError(f"{what}: the weights are truncated or altered ({error}); fetch them again") from error
    except RuntimeError as error:  # torch's word for shapes and names that do not fit the config
        detail = " ".join(str(error).split())
        raise ValueError(f"{what}: weights do not fit cfg.json (transposed? missing?): {detail}") from error
    except Exception as error:  # whatever json and sae_lens make of a setting that is missing, or of another type
        detail = " ".join(str(error).split()) or type(error).__name__
        refuse_unsupported(detail, what)
        raise ValueError(f"{what}: not a readable sae_lens folder ({detail})") from error


def _check(folder: Path, what: str) -> None:
    """What sae_lens would not notice: keys that it drops, another activation, sizes that the weights do not have.

    It allocates what cfg.json asks for before it looks at the weights: see that it asks for no more.
    """
    inside = folder / "sae"  # where `rsae upgrade` puts it
    at = inside if not (folder / CFG).is_file() and (inside / CFG).is_file() else folder
    cfg = json.loads((at / CFG).read_text(encoding="utf-8"))
    if cfg.get("architecture") in (ARCHITECTURE, "rsae"):
        raise SaidError(f"{what} has been upgraded already; start from a ReLU, JumpReLU or TopK SAE")
    if at != folder:
        raise SaidError(f"{what} holds its SAE in the folder {inside}; give that one")
    account(cfg, USED, [k for k in cfg if k.startswith(HARMLESS)], what, CFG)
    if (reshaped := cfg.get("reshape_activations", "none")) not in (None, "none"):
        raise SaidError(f"{what} reads {reshaped} reshaped, all heads of a layer in a row, which is not supported")
    activation = cfg.get("activation_fn", cfg.get("activation_fn_str"))
    if activation not in (None, *ACTIVATIONS):
        refuse_unsupported(str(activation), what)
        raise SaidError(f"{what} has the activation {activation!r}; read are {', '.join(ACTIVATIONS)}")
    account(cfg.get("activation_fn_kwargs") or {}, ("k",), (), what, f"{CFG}, activation_fn_kwargs,")
    with safe_open(folder / WEIGHTS, "np") as file:
        shape = file.get_slice("W_enc").get_shape() if "W_enc" in file.keys() else None  # noqa: SIM118
    if shape is not None and math.prod(int(cfg[k]) for k in ("d_in", "d_sae")) != math.prod(shape):
        raise RuntimeError(f"W_enc is {shape}, d_in {cfg['d_in']}, d_sae {cfg['d_sae']}")


def read(folder: Path, what: str) -> Weights:
    """The weights of a sae_lens folder.

    Raises:
        ValueError: see :func:`open_sae` and :func:`weights`.
    """
    return weights(open_sae(folder, what), what)


def weights(source: Any, what: str) -> Weights:
    """The weights of sae_lens's object ``source``.

    Raises:
        ValueError: a gate or a normalisation that the skeleton cannot hold.
    """
    architecture = source.cfg.architecture()
    if architecture not in KINDS:
        refuse_unsupported(architecture, what)
        raise ValueError(f"{what} has a {architecture} gate; supported are {', '.join(KINDS)}")
    if (reshaped := getattr(source.cfg, "reshape_activations", "none")) != "none":
        raise ValueError(f"{what} reads {reshaped} reshaped, all heads of a layer in a row, which is not supported")
    normalize = source.cfg.normalize_activations
    if normalize not in ("none", "layer_norm", "expected_average_only_in"):
        raise ValueError(f"{what} normalises its input ({normalize}), which is not supported; fold it into the weights")
    return Weights(
        KINDS[architecture],
        source.W_enc,
        source.b_enc,
        source.W_dec,
        source.b_dec,
        source.cfg.apply_b_dec_to_input,
        k=getattr(source.cfg, "k", None),
        threshold=getattr(source, "threshold", None),
        normalize_activations="layer_norm" if normalize == "layer_norm" else "none",
        # sae_lens passes such an SAE through unscaled unless its registry knows the factor
        input_scale=float("nan") if normalize == "expected_average_only_in" else 1.0,
        hook=getattr(source.cfg.metadata, "hook_name", None),
        said=frozenset({"apply_b_dec_to_input", "normalize_activations"}),
        rescaled=bool(getattr(source.cfg, "rescale_acts_by_decoder_norm", False)),
    )
