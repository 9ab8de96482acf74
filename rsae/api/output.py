"""Where an upgrade is written: a folder that is new, empty, or this command's own from the same teacher."""

import json
import os
from pathlib import Path
from typing import Any

WRITTEN = ("sae", "README.md", "cells.csv", "run-card.json")
COMMAND = "rsae upgrade"  # in the run card: by whom the folder was written


def check(out: Path, teacher: Any, of: str | None = None, name: str = "--out") -> None:
    """See that ``out`` can be written and that nothing of anybody else is lost by it; said before any work.

    ``teacher`` is what the caller gave, a path where it is one; ``of`` the digest of its tensors,
    once it is known; ``name`` is what the caller calls ``out``.

    Raises:
        ValueError: it holds the teacher, something that this command did not write, or the upgrade of another teacher;
            or it is no folder.
        PermissionError: it cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"{name} {out} is a file; name a folder")
    if isinstance(teacher, str | Path) and Path(teacher).exists():
        inside = Path(teacher).resolve()
        if out.resolve() in (inside, *inside.parents):
            raise ValueError(f"{name} {out} holds the teacher {teacher}, which would be lost; name another folder")
    if out.is_dir() and (there := sorted(path.name for path in out.iterdir())):
        card = _card(out)
        others = [entry for entry in there if card is None or entry not in WRITTEN]
        if others:
            shown = ", ".join(others[:5]) + (" and more" if len(others) > 5 else "")
            raise ValueError(
                f"{name} {out} holds {shown}, which this command did not write; name a new or an empty folder"
            )
        if card is not None and of is not None and card.get("teacher_sha256") != of:
            raise ValueError(
                f"{name} {out} holds the upgrade of another teacher; name another folder, or delete it first"
            )
    nearest = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(13, "Permission denied", str(nearest))


def _card(out: Path) -> dict[str, Any] | None:
    """The run card of an earlier call of this command; None where there is none."""
    try:
        card = json.loads((out / "run-card.json").read_text(encoding="utf-8"))
        return card if card["command"] == COMMAND else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
