"""Under which conditions a suite's tables were made."""

import csv
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from rsae.runtime.device import named
from rsae.runtime.files import read_sealed, sha256, write_json
from rsae.runtime.fingerprint import ROOT
from rsae.runtime.seals import untouched
from rsae.training.trials import RULES

PACKAGES = (
    "torch", "transformers", "transformer_lens", "sae_lens", "datasets", "numpy", "scipy", "pandas", "pyarrow",
    "safetensors", "snakemake",
)  # fmt: skip


def run(
    tables: Sequence[Path],
    benchmarks: Sequence[Path],
    reports: Sequence[Path],
    text_manifests: Mapping[str, Path],
    out: Path,
    *,
    suite: str,
    config_digest: str,
    lock_digest: str,
    objectives: Mapping[str, Any],
) -> None:
    """Gather commit, digests, device, versions, gate path, form of codes, wall time and peak memory per rule.

    ``objectives`` holds λ and learning rate per pair, with the grid that they were chosen from.
    """
    for table in tables:
        untouched(table)
    trained = [read_sealed(p) for p in reports]
    card: dict[str, Any] = {
        "suite": suite,
        "commit": _commit(),
        "lock_digest": lock_digest,
        "config_digest": config_digest,
        "objectives": {
            "rule": f"{RULES['shared'][0]} Tried values: docs/embedded.md",
            "pairs": objectives,
        },
        "text": {name: read_sealed(path) for name, path in text_manifests.items()},
        "device": named(),
        "python": platform.python_version(),
        "versions": {p: version(p) for p in PACKAGES},
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "gate_paths": sorted({t["gate_path"] for t in trained}),
        "products": sorted({t["products"] for t in trained}),
        "steps": sorted({t["step"] for t in trained}),
        "codes": sorted({t["codes"] for t in trained}),
        "torch_threads": sorted({t["torch_threads"] for t in trained}),
        "tokens_trained": sorted({t["tokens_trained"] for t in trained}),
        "tokens_distinct": sorted({t["tokens_distinct"] for t in trained}),
        "passes": sorted({round(t["passes"], 3) for t in trained}),
        "rules": _rules(benchmarks),
        "tables": {path.name: sha256(path) for path in tables},
    }
    write_json(out, card)


def _commit() -> str:
    """The checkout's commit, marked when files differ from it; "unknown" outside a repository."""
    try:
        call = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        return subprocess.run(call, capture_output=True, text=True, check=True, encoding="utf-8").stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _rules(paths: Sequence[Path]) -> Mapping[str, Mapping[str, float]]:
    """Per rule: jobs, summed and largest wall time in seconds, largest resident memory in MB.

    Jobs that were typed by hand have no record and are not counted.
    """
    rules: dict[str, dict[str, float]] = {}
    # all lie below one folder, first by rule
    folder = Path(os.path.commonpath(paths))
    for path in filter(Path.is_file, paths):
        with open(path, encoding="utf-8") as file:
            row = next(csv.DictReader(file, delimiter="\t"))
        rule = rules.setdefault(
            path.relative_to(folder).parts[0].removesuffix(".tsv"), {"jobs": 0, "s": 0.0, "s_max": 0.0, "rss_mb": 0.0}
        )
        seconds, memory = float(row["s"]), row["max_rss"]
        rule["jobs"] += 1
        rule["s"] = round(rule["s"] + seconds, 2)
        rule["s_max"] = max(rule["s_max"], round(seconds, 2))
        if memory not in ("-", "NA"):  # jobs shorter than the sampling interval have none
            rule["rss_mb"] = max(rule["rss_mb"], float(memory))
    return rules
