"""A host or a teacher of a hub to verified files in the cache, and the receipt that stands for them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rsae.config.layouts import LAYOUTS, Layout, host_files
from rsae.data.hub import client, receipts


def run(
    out: Path, *, repo: str, folder: str, layout: Layout | None, revision: str, pinned: Mapping[str, Any] | None
) -> None:
    """``layout`` is None for a host; ``pinned`` holds size and sha256 per file, from a lock file."""
    fetched = fetch(repo, folder, layout, revision, pinned)
    sha256 = {name: str(entry.sha256) for name, entry in fetched.entries.items()}
    local = str(fetched.folder / folder)
    receipts.write(out, receipts.Receipt(repo, folder, layout, fetched.commit, local, sha256))
    print(f"{repo} at {fetched.commit}: {', '.join(sha256)} verified")


def fetch(
    repo: str, folder: str, layout: Layout | None, revision: str, pinned: Mapping[str, Any] | None
) -> client.Fetched:
    """The files of a host or a teacher; see :func:`rsae.data.hub.client.fetch`."""
    entries = pinned and {name: client.Entry(f["size"], f["sha256"]) for name, f in pinned.items()}
    return client.fetch(repo, revision, lambda names: wanted(names, repo, folder, layout), pinned=entries)


def wanted(names: Sequence[str], repo: str, folder: str, layout: Layout | None) -> list[str]:
    """Those of a repository's files that are read."""
    if layout is not None:
        return [f"{folder}/{name}" if folder else name for name in LAYOUTS[layout]]
    try:
        return host_files([n for n in names if "/" not in n])
    except ValueError as error:
        raise ValueError(f"host {repo}: {error}") from error
