"""Fine-tune all arms of a pair in one process, from one reading of its activations."""

from collections.abc import Mapping
from typing import Any

from rsae.stages.training.finetune import run_all
from rsae.training.parallel import By


def run(arms: Mapping[str, Mapping[str, Any]], *, settings: Mapping[str, Mapping[str, Any]], by: By = "token") -> None:
    """Train each of ``arms`` as a job of its own would."""
    run_all([{**paths, **settings[name]} for name, paths in arms.items()], by)
