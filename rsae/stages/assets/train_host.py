"""Train the embedded host and write its card."""

import json
from pathlib import Path

from rsae.config.assets import HostRecipe
from rsae.data.text.documents import Document
from rsae.runtime.files import replacing, sha256
from rsae.training.assets.host import train_host


def run(train: Path, validation: Path, out: Path, *, seed: int, **recipe: object) -> None:
    """``recipe`` holds the fields of :class:`rsae.config.assets.HostRecipe`."""
    with replacing(out) as temporary:
        facts = train_host(
            HostRecipe.model_validate(recipe), seed, read_documents(train), read_documents(validation), temporary
        )
        text = {p.name: sha256(p) for p in (train, validation)}
        write_card(temporary, {"recipe": recipe, "seed": seed, "text": text, **facts})


def read_documents(path: Path) -> list[Document]:
    """Documents of a split."""
    return [Document(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def write_card(folder: Path, facts: dict[str, object]) -> None:
    """``card.json``: how the files beside it were made, and their digests."""
    files = {p.name: sha256(p) for p in sorted(folder.iterdir()) if p.is_file()}
    (folder / "card.json").write_text(json.dumps({**facts, "sha256": files}, indent=1) + "\n", encoding="utf-8")
