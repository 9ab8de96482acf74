"""``config/SUITE.lock.yaml``: which commit and which bytes every repository of a suite had when it was fetched."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from rsae.runtime.files import replacing

HEADER = """\
# Written by `snakemake fetch_{suite}` from what was downloaded and verified; commit it, so that others run
# the very same bytes. Nothing here was typed by hand.
"""


class Lock(NamedTuple):
    """{repository: {"commit": ..., "files": {name: {"size": ..., "sha256": ...}}}}; datasets have no files."""

    repos: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> "Lock":
        """The lock in ``path``; an empty one where there is no such file.

        Raises:
            ValueError: it is not what this module writes.
        """
        if not path.is_file():
            return cls({})
        try:
            repos = yaml.safe_load(path.read_text(encoding="utf-8"))
            for entry in repos.values():
                assert len(entry["commit"]) == 40 and all({"size", "sha256"} <= set(f) for f in entry["files"].values())
        except (yaml.YAMLError, AttributeError, KeyError, TypeError, AssertionError) as error:
            raise ValueError(f"{path} is no lock file; delete it and run the fetch again") from error
        return cls(repos)

    def write(self, path: Path, suite: str) -> None:
        """As YAML, sorted."""
        with replacing(path) as temporary:
            temporary.write_text(
                HEADER.format(suite=suite) + yaml.safe_dump(dict(self.repos), sort_keys=True), encoding="utf-8"
            )

    def commit(self, repo: str) -> str | None:
        """The commit of a repository, if it was ever fetched."""
        return self.repos[repo]["commit"] if repo in self.repos else None

    def settings(self, repo: str, revision: str, folder: str) -> dict[str, Any]:
        """The revision that is to be fetched, and the files below ``folder`` that must be found there."""
        if repo not in self.repos:
            return {"revision": revision, "pinned": None}
        below = f"{folder}/" if folder else ""
        files = {n: f for n, f in self.repos[repo]["files"].items() if n.startswith(below)}
        return {"revision": self.repos[repo]["commit"], "pinned": files or None}
