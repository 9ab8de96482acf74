"""Docstrings of pinned dependencies to JSON lines, one file per split."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rsae.docstrings import documents
from rsae.files import replacing, sha256, write_json


def run(out: Path, *, packages: Sequence[str], shares: Mapping[str, float], splits: Sequence[str]) -> None:
    """Write ``{split}.jsonl`` (name, text) into ``out`` and a manifest with a digest of each."""
    manifest = {}
    for split, members in documents(packages, shares, splits).items():
        if not members:
            raise ValueError(f"split {split!r} of the text is empty; enlarge its share")
        path = out / f"{split}.jsonl"
        with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
            for document in members:
                file.write(json.dumps(document._asdict()) + "\n")
            file.flush()
        manifest[split] = {
            "documents": len(members),
            "characters": sum(len(d.text) for d in members),
            "sha256": sha256(path),
        }
        print(f"{split}: {manifest[split]['documents']} documents, {manifest[split]['characters']} characters")
    write_json(out / "manifest.json", manifest)
