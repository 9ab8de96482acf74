"""Which files a host or a teacher consists of, in each layout that is known."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

Layout = Literal["sae_lens", "gemma_scope", "gemma_scope_2", "dictionary_learning", "sparsify"]


# the files of a teacher in each layout, below its folder
LAYOUTS: dict[Layout, tuple[str, ...]] = {
    "sae_lens": ("cfg.json", "sae_weights.safetensors"),
    "gemma_scope": ("params.npz",),
    "gemma_scope_2": ("config.json", "params.safetensors"),
    "dictionary_learning": ("config.json", "ae.pt"),
    "sparsify": ("cfg.json", "sae.safetensors"),
}


TOKENIZER = ("tokenizer.json", "tokenizer.model", "vocab.json")  # one of these is the vocabulary


BESIDE = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt")


def host_files(names: Sequence[str]) -> list[str]:
    """Those files of a Hugging Face model that are read: config, tokenizer, weights (safetensors if there are).

    Raises:
        ValueError: one of the three is missing.
    """
    weights = [n for n in names if n.startswith("model") and n.endswith((".safetensors", ".safetensors.index.json"))]
    weights = weights or [n for n in names if n.startswith("pytorch_model") and n.endswith((".bin", ".bin.index.json"))]
    found = {
        "config.json": [n for n in names if n == "config.json"],
        "weights (model*.safetensors)": weights,
        "tokenizer (tokenizer.json)": [n for n in names if n in TOKENIZER],
    }
    for what, members in found.items():
        if not members:
            raise ValueError(f"no {what} among {', '.join(names) or 'no files at all'}; this is not a whole model")
    return sorted([n for members in found.values() for n in members] + [n for n in names if n in BESIDE])


def detect(path: Path) -> Layout:
    """The layout of a local teacher, by the names of its files; sae_lens's where nothing else is recognised."""
    if path.is_file():
        return "gemma_scope" if path.suffix == ".npz" else "dictionary_learning"
    for layout in ("sparsify", "gemma_scope", "gemma_scope_2"):
        if all((path / name).is_file() for name in LAYOUTS[layout]):
            return layout
    found = {name for name in ("cfg.json", "config.json") if (path / name).is_file()}
    return "dictionary_learning" if found == {"config.json"} else "sae_lens"
