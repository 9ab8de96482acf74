"""What was fetched: a small file that stands for verified files in the hub's cache."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from rsae.config.layouts import Layout, detect
from rsae.runtime.files import write_json


class Receipt(NamedTuple):
    """Files of a repository at a commit, all of them verified."""

    repo: str
    folder: str  # inside the repository; empty for its top
    layout: Layout | None  # of a teacher
    commit: str
    local: str  # that folder, on this machine
    sha256: Mapping[str, str]


def write(path: Path, receipt: Receipt) -> None:
    """As JSON."""
    write_json(path, receipt._asdict())


def read(path: Path) -> Receipt | None:
    """The receipt in ``path``; None where ``path`` is no receipt but the thing itself.

    Raises:
        ValueError: the files that it vouches for are gone.
    """
    if path.name != "source.json":
        return None
    receipt = Receipt(**json.loads(path.read_text(encoding="utf-8")))
    if not Path(receipt.local).is_dir():
        raise ValueError(f"{path}: {receipt.repo} is no longer in the cache; delete this file and run again")
    return receipt


def opened(path: Path | str) -> Path:
    """The folder that ``path`` is, or that it is the receipt of."""
    receipt = read(Path(path))
    return Path(path) if receipt is None else Path(receipt.local)


class TeacherFiles(NamedTuple):
    """The files of a teacher, and where they came from if they were fetched."""

    path: Path
    layout: Layout
    repo: str | None
    folder: str | None


def teacher_files(path: Path, layout: Layout | None) -> TeacherFiles:
    """The teacher that ``path`` is, or that it is the receipt of; without a word on its layout, look at the files.

    Raises:
        ValueError: the files are gone, or of no layout that is known.
    """
    receipt = read(path)
    if receipt is None:
        return TeacherFiles(path, layout or detect(path), None, None)
    local = Path(receipt.local)
    return TeacherFiles(local, receipt.layout or detect(local), receipt.repo, receipt.folder)
