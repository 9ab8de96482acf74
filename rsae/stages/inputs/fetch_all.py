"""Everything of a hub that a suite needs, and the lock file that pins it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rsae.data.hub import client
from rsae.data.hub.lockfile import Lock
from rsae.stages.inputs.fetch import fetch


def run(out: Path, *, suite: str, sources: Sequence[Mapping[str, Any]], datasets: Mapping[str, str]) -> None:
    """Download, verify, and write commits and sha256 of what is now on this machine to ``out``.

    What cannot be fetched keeps its older entry; all the rest is written before the failure is told.

    Raises:
        ValueError: one line per repository that could not be fetched.
    """
    repos: dict[str, Any] = {repo: dict(entry) for repo, entry in Lock.read(out).repos.items()}
    failures = {}
    fetched: dict[str, Any] = {}
    for source in sources:
        repo = source["repo"]
        try:
            got = fetch(**source)
        except ValueError as error:
            failures[repo] = str(error)
            continue
        entry = fetched.setdefault(repo, {"commit": got.commit, "files": {}})
        if entry["commit"] != got.commit:
            failures[repo] = f"{repo} moved while it was fetched; run the same line again"
            continue
        entry["files"] |= {name: found._asdict() for name, found in got.entries.items()}
        print(f"{repo} at {got.commit}: {', '.join(got.entries)}", flush=True)
    for name, revision in datasets.items():
        try:
            fetched[name] = {"commit": client.ask(name, revision, "dataset").commit, "files": {}}
            print(f"{name} at {fetched[name]['commit']}: streamed when it is read", flush=True)
        except ValueError as error:
            failures[name] = str(error)
    repos |= {repo: entry for repo, entry in fetched.items() if repo not in failures}
    if repos:
        Lock(repos).write(out, suite)
    if failures:
        raise ValueError("\n".join(failures.values()))
