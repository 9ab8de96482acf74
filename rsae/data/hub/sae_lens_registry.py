"""Releases of sae_lens's registry, without importing sae_lens (nine seconds, half a gigabyte)."""

import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from rsae.config.layouts import Layout

CONVERTERS: dict[str | None, Layout] = {
    None: "sae_lens",
    "gemma_2": "gemma_scope",
    "dictionary_learning_1": "dictionary_learning",
}


class Place(NamedTuple):
    """Where the files of a release's SAE are, and how they are laid out."""

    repo: str
    folder: str
    layout: Layout


@cache
def look_up(release: str, sae_id: str) -> Place:
    """The SAE ``sae_id`` of ``release``.

    Raises:
        ValueError: the installed sae_lens knows no such release or id, or converts it by a loader
            that is not supported here.
    """
    entry = _release(release)
    path = next((str(s["path"]) for s in entry["saes"] if s["id"] == sae_id), None)
    if path is None:
        some = ", ".join(s["id"] for s in entry["saes"][:3])
        raise ValueError(f"sae_lens's release {release!r} has no SAE {sae_id!r}; it has {some}, ...")
    converter = entry.get("conversion_func")
    if converter not in CONVERTERS:
        raise ValueError(f"release {release!r} is laid out as {converter}, which is not yet supported")
    return Place(entry["repo_id"], path, CONVERTERS[converter])


def _release(release: str) -> dict[str, Any]:
    """One entry of the registry; the whole file takes a second to parse."""
    spec = importlib.util.find_spec("sae_lens")
    assert spec is not None and spec.submodule_search_locations
    text = (Path(spec.submodule_search_locations[0]) / "pretrained_saes.yaml").read_text(encoding="utf-8")
    found = re.search(rf"^{re.escape(release)}:\n(?:[ -].*\n)+", text, re.M)
    if found is None:
        raise ValueError(f"sae_lens has no release {release!r}; for a repository give `repo`, `folder` and `layout`")
    return yaml.safe_load(found[0])[release]
