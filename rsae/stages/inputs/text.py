"""Text to JSON lines, one file per split."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rsae.data.text import datasets, docstrings
from rsae.data.text.documents import Document
from rsae.runtime.files import replacing, sealed, sha256, write_json


def run(out: Path, *, source: str, shares: Mapping[str, float], splits: Sequence[str], **options: Any) -> None:
    """Write ``{split}.jsonl`` (name, text, label if there is one) into ``out`` and a manifest with a digest of each.

    ``options`` holds the other fields of the text's entry in the configuration.

    Raises:
        ValueError: a split is empty.
    """
    manifest = {}
    for split, members in _documents(source, shares, splits, options).items():
        if not members:
            raise ValueError(f"split {split!r} of the text is empty; enlarge its share, or give more documents")
        path = out / f"{split}.jsonl"
        with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
            for document in members:
                file.write(json.dumps({k: v for k, v in document._asdict().items() if v}) + "\n")
            file.flush()
        manifest[split] = {
            "documents": len(members),
            "characters": sum(len(d.text) for d in members),
            "sha256": sha256(path),
        }
        print(f"{split}: {manifest[split]['documents']} documents, {manifest[split]['characters']} characters")
    write_json(out / "manifest.json", sealed(manifest))


def _documents(
    source: str, shares: Mapping[str, float], splits: Sequence[str], options: dict[str, Any]
) -> dict[str, list[Document]]:
    if source == "docstrings":
        return docstrings.documents(options["packages"], shares, splits)
    return datasets.shared_out(datasets.documents_of(source, options), shares, splits)
