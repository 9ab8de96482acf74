"""Make a finished training the committed one."""

import json
import shutil
from pathlib import Path

from rsae.runtime.files import replacing, sha256

LARGEST, TOTAL = 12_000_000, 30_000_000  # bytes; git keeps every version for ever


def promote(files: list[Path], source: Path, target: Path) -> None:
    """Copy ``files`` from below ``source`` to below ``target``, after checking cards and sizes.

    Raises:
        ValueError: a file is missing, differs from its card's digest, or is too large to commit.
    """
    missing = [p for p in files if not p.is_file()]
    if missing:
        raise ValueError(f"{missing[0]} does not exist; make it with `snakemake embedded_assets`")
    sizes = {p: p.stat().st_size for p in files}
    largest = max(files, key=sizes.__getitem__)
    if sizes[largest] > LARGEST or sum(sizes.values()) > TOTAL:
        raise ValueError(
            f"{sum(sizes.values())} bytes in all, {sizes[largest]} in {largest};"
            f" the limits are {TOTAL} and {LARGEST}: use a smaller model or dictionary"
        )
    for card in (p for p in files if p.name == "card.json"):
        for name, digest in json.loads(card.read_text(encoding="utf-8"))["sha256"].items():
            if sha256(card.parent / name) != digest:
                raise ValueError(f"{card.parent / name} differs from its card; train it again")
    for path in files:
        with replacing(target / path.relative_to(source)) as temporary:
            shutil.copyfile(path, temporary)
