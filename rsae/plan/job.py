"""A job as data: what Snakemake's rules and the command line both read."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rsae.runtime.files import canonical
from rsae.runtime.fingerprint import code_digest, lock_digest

CONFIG = Path("config")
RESULTS_VARIABLE = "RSAE_RESULTS"  # variable that tells commands where results lie, if not in results/


class Opened(NamedTuple):
    """A host or a teacher, as a stage opens it, and the files that it consists of."""

    path: Path
    inputs: list[Path]


class Job(NamedTuple):
    """One call of ``rsae.stages.{stage}.run(**arguments, **settings)``."""

    stage: str  # room and module, such as inputs.harvest
    inputs: list[Path]  # files and folders that must exist, as Snakemake sees them
    arguments: dict[str, Any]  # paths, as the stage sees them
    settings: dict[str, Any]  # JSON values
    modules: tuple[str, ...] = ()  # code that the stage finds by name, such as an arm's

    @property
    def fingerprint(self) -> str:
        """What a rerun depends on besides the inputs: settings, code of the stage, lock file."""
        code = [code_digest(m) for m in (f"rsae.stages.{self.stage}", *self.modules)]
        return f"{canonical(self.settings)} code={'+'.join(code)} lock={lock_digest()}"


def tell_commands(results: Path) -> None:
    """Where they find results, as far as they are not told by ``--results``."""
    os.environ[RESULTS_VARIABLE] = str(results)


def derive_seed(*parts: object) -> int:
    """A seed from (suite seed, stage, cell): adding a cell never changes another cell's numbers."""
    text = canonical([str(p) for p in parts])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])


def module_digest(module: str) -> str:
    """Fingerprint of what a module makes from settings that stand in a file's name."""
    return f"code={code_digest(module)} lock={lock_digest()}"


def pick(what: str, name: str, known: Mapping[str, Any], where: str = "this suite") -> Any:
    """The entry of a name, or a sentence with the names that there are."""
    if name not in known:
        raise ValueError(f"no {what} {name!r} in {where}; there are {', '.join(known)}")
    return known[name]
