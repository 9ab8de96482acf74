"""All suites of a folder: names that do not collide, and suites that are like another one, or that one cut down.

A file with a mistake stops itself and those that are like it, and no other.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

from rsae.config.like import Likes, Place, unknown
from rsae.config.load import checked, read
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

    def differs(self, suite: Suite) -> dict[str, Any]:
        """What a file would say: one seed, few steps; hosts get ``-smoke`` behind their names, so nothing is mixed."""
        # as many documents as there are rows: some of the few tokens have to be of every kind that is probed for
        rows = dict.fromkeys(EVALUATED, 1)
        host = {
            "n_shards": self.n_shards,
            "tokens": dict.fromkeys(EVALUATED, self.tokens),
            "max_rows_per_document": rows,
        }
        return {
            "like": self.smoke_of,
            "smoke_of": self.smoke_of,
            "seeds": suite.seeds[:1],
            "finetune": {"steps": self.steps, "batch": self.batch},
            "hosts": {f"{name}-smoke": {"like": name, **host} for name in suite.hosts},
        }


class Found(NamedTuple):
    """What a folder holds; each suite of it is in one of the first two."""

    suites: dict[str, Suite]
    wrong: dict[str, Exception]  # suite: what is wrong with its file, or with the one that it is like
    hosts: dict[str, str]  # host: suite, of those that are wrong, as far as they can be read


def load_suites(folder: Path | str) -> dict[str, Suite]:
    """Every ``*.yaml`` in ``folder`` by its stem.

    Raises:
        ValueError: a file is wrong, there is none, or two suites name the same host.
    """
    found = find_suites(folder)
    for error in found.wrong.values():
        raise error
    return found.suites


def find_suites(folder: Path | str) -> Found:
    """The same, with those that are wrong set apart.

    Raises:
        ValueError: there is none at all.
    """
    read = _Folder(Path(folder))
    if not read.paths:
        raise ValueError(f"{folder}: no suite (*.yaml) in there")
    read.load()
    found, owner = Found({}, read.wrong, {}), dict[str, str]()
    for suite, content in read.loaded.items():
        try:
            _check_names(folder, suite, content, {**dict.fromkeys(read.paths, "a suite"), **owner})
        except ValueError as error:
            found.wrong[suite] = error
        else:
            found.suites[suite] = content
            owner |= dict.fromkeys(content.hosts, suite)
    found.hosts.update({h: s for h, s in read.owner.items() if s in found.wrong and h not in owner})
    return found


def _check_names(folder: Path | str, suite: str, content: Suite, taken: dict[str, str]) -> None:
    """Raises ValueError where a name is no folder's, means something else, or is ``taken``."""
    if re.fullmatch(NAME, suite) is None:
        raise ValueError(f"{folder}/{suite}.yaml: a suite names a folder, and {suite!r} is no plain name; rename it")
    _not_reserved(folder, suite, "suite", suite)
    for host, entry in content.hosts.items():
        _not_reserved(folder, suite, "host", host)
        for what, names in (("teacher", entry.teachers), ("site", entry.sites)):
            for name in names:
                _not_reserved(folder, suite, what, name)
        if host in taken:
            raise ValueError(
                f"{folder}/{suite}.yaml: host name {host!r} is taken by {taken[host]}; host and suite names are"
                " targets, so they must differ"
            )


class _Folder:
    """Files of suites, each read on top of those that it, its hosts or its teachers are like."""

    def __init__(self, folder: Path) -> None:
        self.paths = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
        self.wrong: dict[str, Exception] = {}
        self.raw: dict[str, dict[str, Any]] = {}
        for name, path in self.paths.items():
            try:
                self.raw[name] = read(path)
            except (ValueError, OSError) as error:
                self.wrong[name] = error
        self.smoke = {name: self.raw.pop(name) for name in [*self.raw] if "smoke_of" in self.raw[name]}
        self.owner = {host: name for name, raw in self.raw.items() for host in _below(raw, "hosts")}
        self.suites = Likes("suite", self.raw, self._place, self._checked, self._no_suite)
        self.hosts: dict[str, Likes] = {}  # by suite
        self.waiting: dict[str, Place] = {}  # hosts, of whichever suite
        self.loaded: dict[str, Suite] = {}

    def load(self) -> None:
        """All of them into ``loaded`` or ``wrong``; those that are cut down last, for nothing is like them."""
        for name in [*self.raw]:
            self._try(name)
        for name, raw in self.smoke.items():
            try:
                smoke = checked(self.paths[name], raw, Smoke)
                if smoke.smoke_of in self.wrong:
                    raise self.wrong[smoke.smoke_of]
                if smoke.smoke_of not in self.loaded:
                    raise unknown("suite", smoke.smoke_of, self.loaded, self._place(name).at("smoke_of"))
            except ValueError as error:
                self.wrong[name] = error
            else:
                self.raw[name] = smoke.differs(self.loaded[smoke.smoke_of])
                self._try(name)
        # in the order of the files
        self.loaded = {name: self.loaded[name] for name in self.paths if name in self.loaded}
        self.wrong = {name: self.wrong[name] for name in self.paths if name in self.wrong}

    def _try(self, name: str) -> None:
        try:
            self.suites.whole(name)
        except ValueError as error:
            self.wrong[name] = error

    def _no_suite(self, name: str, place: Place) -> Any:
        if name in self.wrong:
            raise self.wrong[name]
        raise unknown("suite", name, self.raw, place)

    def _place(self, suite: str) -> Place:
        return Place(self.paths[suite])

    def _checked(self, place: Place, raw: dict[str, Any]) -> dict[str, Any]:
        """A whole suite; checked before others are like it, so that a mistake is told of the file where it stands."""
        suite = place.file.stem
        self.hosts[suite] = Likes(
            "host", _below(raw, "hosts"), place.at("hosts").at, self._with_teachers, self._host, self.waiting
        )
        if hosts := self.hosts[suite].all():
            raw = raw | {"hosts": hosts}
        self.loaded[suite] = checked(place.file, raw, Suite)
        return raw

    def _with_teachers(self, place: Place, host: Any) -> Any:
        entries = _below(host, "teachers")

        def elsewhere(name: str, at: Place) -> Any:
            of, _, teacher = name.partition("/")  # HOST/TEACHER
            known = _below(self._host(of, at), "teachers") if teacher else entries
            if teacher not in known:
                raise unknown("teacher", teacher or name, known, at)
            return known[teacher]

        teachers = Likes("teacher", entries, place.at("teachers").at, elsewhere=elsewhere).all()
        return host | {"teachers": teachers} if teachers else host

    def _host(self, name: str, place: Place) -> Any:
        """A host of any suite."""
        if name not in self.owner:
            unread = [path.name for suite, path in self.paths.items() if suite not in self.raw | self.smoke]
            where = f"; {', '.join(unread)} cannot be read" if unread else near(name, self.owner)
            raise place.mistake(f"no host {name!r}{where}")
        suite = self.owner[name]
        if suite not in self.hosts or suite not in self.suites.waiting:  # else it is on its way here
            self.suites.whole(suite)
        return self.hosts[suite].whole(name)


def _below(raw: Any, key: str) -> dict[Any, Any]:
    """A mapping in a mapping; where a mistake stands instead, which the schema will name, an empty one."""
    found = raw.get(key) if isinstance(raw, dict) else None
    return found if isinstance(found, dict) else {}


def _not_reserved(folder: Path | str, suite: str, what: str, name: str) -> None:
    if name in RESERVED[what]:
        raise ValueError(
            f"{folder}/{suite}.yaml: a {what} cannot be called {name!r}, which is a target or a folder of the"
            f" workflow; reserved are {', '.join(sorted(RESERVED[what]))}"
        )
