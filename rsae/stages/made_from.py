"""What a checkpoint was made from: one of anything else is not continued."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rsae.arms import Arm
from rsae.runtime.files import sha256
from rsae.runtime.fingerprint import code_digest
from rsae.sae.model import WEIGHTS


def digests(saes: Mapping[tuple[str, int], Path]) -> list[tuple[str, int, str]]:
    """Each SAE and the sha256 of its settings, which hold that of its weights."""
    return [(*cell, sha256(folder / "cfg.json")) for cell, folder in saes.items()]


def trained_from(stage: str, arm: Arm, activations: Path, start: Path) -> dict[str, Any]:
    """What a training depends on, beside its settings."""
    return {
        "arm": arm.name,
        "code": [code_digest(module) for module in (stage, arm.module)],
        "data": sha256(activations / "manifest.json"),
        "start": sha256(start / WEIGHTS),
    }
