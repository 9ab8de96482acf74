"""An SAE to a hub, with a card that says what was measured."""

import shutil
import tempfile
from pathlib import Path

from rsae import standalone
from rsae.api import model_card
from rsae.data.hub import client
from rsae.sae.model import SAE


def push(folder: Path, repo: str, place: str | None = None, cells: Path | None = None, private: bool = False) -> str:
    """Upload the SAE in ``folder`` below ``place`` of ``repo``; the address of the commit, as a sentence.

    ``place`` is the name by which ``SAE.from_pretrained(repo, place)`` finds it: the arm, if left out.
    Numbers for the card come from ``cells``, or from where the workflow leaves them.

    Raises:
        ValueError: not the folder of a whole SAE of this project, no numbers in ``cells``, no token, or a hub that
            refuses.
    """
    cfg = model_card.read(folder)
    SAE.load(folder)  # so that what arrives can be read
    place = place or str(cfg["metadata"].get("arm", "sae"))
    numbers = model_card.measured(folder, cells)
    with tempfile.TemporaryDirectory() as temporary:
        staged = Path(temporary)
        (staged / place).mkdir(parents=True)
        for name in model_card.FILES:
            shutil.copyfile(folder / name, staged / place / name)
        shutil.copyfile(standalone.__file__, staged / "standalone.py")
        model_card.model_card(folder, repo, place, numbers).save(staged / "README.md")
        commit = client.upload(staged, repo, private, f"{place}, with its card")
    told = "with its numbers" if numbers else "without numbers: none were found beside it"
    return f"{repo}/{place} at commit {commit}, {told}"
