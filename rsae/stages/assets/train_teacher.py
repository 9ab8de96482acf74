"""Train one embedded teacher and write its card."""

from pathlib import Path

from rsae.runtime.device import set_up_torch
from rsae.runtime.files import replacing, sha256
from rsae.stages.assets.train_host import write_card
from rsae.training.assets.teachers import train_teacher


def run(activations: Path, validation: Path, out: Path, **recipe: object) -> None:
    """``recipe`` holds the keyword arguments of :func:`rsae.training.assets.teachers.train_teacher`."""
    set_up_torch()
    with replacing(out) as temporary:
        facts = train_teacher(activations=activations, validation=validation, out=temporary, **recipe)  # type: ignore[arg-type]
        data = {p.name: sha256(p / "manifest.json") for p in (activations, validation)}
        write_card(temporary, {"recipe": recipe, "activations": data, **facts})
