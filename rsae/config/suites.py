"""All suites of a folder: names that do not collide, and suites that are another one cut down."""

import re
from pathlib import Path

from rsae.config.load import load
from rsae.config.suite import Suite
from rsae.config.types import EVALUATED, NAME, Name, Positive, Strict, near

# names that would collide with a rule, or with a folder that the workflow makes on that level
RESERVED = {
    "suite": {
        "all",
        "check",
        "clean_activations",
        "embedded_assets",
        "more_teachers",
        "preflight",
        "assets",
        "teachers",
        "benchmarks",
        "checkpoints",
        "gates",
        "logs",
        "report",
        "theory",
    },
    "host": {
        "all",
        "check",
        "clean_activations",
        "embedded_assets",
        "exports",
        "figures",
        "more_teachers",
        "preflight",
        "gates",
        "report",
        "theory",
        "tables",
        "text",
    },
    "teacher": {"activations", "tokens"},
    "site": {"activations", "tokens"},
}


class Smoke(Strict):
    """Another suite with every size cut down: it tests that all parts fit, and its numbers judge nothing."""

    smoke_of: Name
    steps: Positive = 3
    batch: Positive = 64
    tokens: Positive = 2000  # of each split
    n_shards: Positive = 1

    def cut_down(self, suite: Suite) -> Suite:
        """One seed, few steps; hosts get ``-smoke`` behind their names, so that nothing is mixed up."""
        cut = suite.model_dump(exclude_unset=True)
        cut |= {"seeds": suite.seeds[:1], "smoke_of": self.smoke_of, "reported": suite.reported}
        cut["finetune"] |= {"steps": self.steps, "batch": self.batch}
        for host in cut["hosts"].values():
            host |= {"tokens": dict.fromkeys(EVALUATED, self.tokens), "n_shards": self.n_shards}
            # as many documents as there are rows: some of the few tokens have to be of every kind that is probed for
            host["max_rows_per_document"] = dict.fromkeys(EVALUATED, 1)
        cut["hosts"] = {f"{name}-smoke": host for name, host in cut["hosts"].items()}
        return Suite.model_validate(cut)


def load_suites(folder: Path | str) -> dict[str, Suite]:
    """Every ``*.yaml`` in ``folder`` by its stem.

    Raises:
        ValueError: a file is wrong, there is none, or two suites name the same host.
    """
    suites = _cut_down(folder, {p.stem: load(p, _suite_or_smoke(p)) for p in sorted(Path(folder).glob("*.yaml"))})
    if not suites:
        raise ValueError(f"{folder}: no suite (*.yaml) in there")
    owner: dict[str, str] = {}
    for suite, content in suites.items():
        if re.fullmatch(NAME, suite) is None:
            raise ValueError(
                f"{folder}/{suite}.yaml: a suite names a folder, and {suite!r} is no plain name; rename it"
            )
        _not_reserved(folder, suite, "suite", suite)
        for host in content.hosts:
            _not_reserved(folder, suite, "host", host)
            for what, names in (("teacher", content.hosts[host].teachers), ("site", content.hosts[host].sites)):
                for name in names:
                    _not_reserved(folder, suite, what, name)
            if host in owner or host in suites:
                raise ValueError(
                    f"{folder}/{suite}.yaml: host name {host!r} is taken by"
                    f" {owner.get(host, 'a suite')}; host and suite names are targets, so they must differ"
                )
            owner[host] = suite
    return suites


def _suite_or_smoke(path: Path) -> type[Suite] | type[Smoke]:
    return Smoke if any(line.startswith("smoke_of:") for line in path.read_text().splitlines()) else Suite


def _cut_down(folder: Path | str, loaded: dict[str, Suite | Smoke]) -> dict[str, Suite]:
    whole = {name: s for name, s in loaded.items() if isinstance(s, Suite)}
    for name, entry in loaded.items():
        if isinstance(entry, Smoke):
            if entry.smoke_of not in whole:
                raise ValueError(f"{folder}/{name}.yaml: no suite {entry.smoke_of!r}{near(entry.smoke_of, whole)}")
            whole[name] = entry.cut_down(whole[entry.smoke_of])
    return {name: whole[name] for name in loaded}


def _not_reserved(folder: Path | str, suite: str, what: str, name: str) -> None:
    if name in RESERVED[what]:
        raise ValueError(
            f"{folder}/{suite}.yaml: a {what} cannot be called {name!r}, which is a target or a folder of the"
            f" workflow; reserved are {', '.join(sorted(RESERVED[what]))}"
        )
