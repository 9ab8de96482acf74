"""Texts by name, and the job that makes documents of one."""

from collections.abc import Sequence
from pathlib import Path

from rsae.config.load import load
from rsae.config.sources import Docstrings, FileText, HubText, Text, TextFile
from rsae.config.types import EVALUATED
from rsae.data.hub.lockfile import Lock
from rsae.data.text.docstrings import SPLITS
from rsae.plan.job import CONFIG, Job

# In order of precedence up to the last split that the main job needs.
TEXT_SPLITS = SPLITS[: 1 + max(SPLITS.index(s) for s in EVALUATED)]


def load_text(text: Text) -> Docstrings | FileText | HubText:
    """An entry as it is, or the one in ``config/text`` that a name means."""
    if not isinstance(text, str):
        return text
    path = CONFIG / "text" / f"{text}.yaml"
    entry = load(path, TextFile, under="text").text
    if isinstance(entry, str):
        raise ValueError(f"{path}: expected keys and values, found the name {entry!r}")
    return entry


def text_job(text: Text, splits: Sequence[str], out: Path, lock: Lock) -> Job:
    """A text to documents, the given splits at once."""
    entry = load_text(text)
    settings = {**entry.model_dump(mode="json"), "splits": list(splits)}
    if isinstance(entry, HubText):
        settings["revision"] = lock.commit(entry.name) or entry.revision
    return Job("inputs.text", [entry.path] if isinstance(entry, FileText) else [], {"out": out}, settings)


def hub_text(text: Text, lock: Lock) -> dict[str, str] | None:
    """What is fetched for a text; None where it is made or lies here."""
    entry = load_text(text)
    if not isinstance(entry, HubText):
        return None
    return {"repo": entry.name, "revision": lock.commit(entry.name) or entry.revision}
