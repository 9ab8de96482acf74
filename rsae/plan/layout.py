"""What a suite has, and where it lies: names to entries, entries to paths."""

from functools import cached_property
from pathlib import Path
from typing import Any

from typing_extensions import override

from rsae.arms import Arm, Design, arms
from rsae.config.layouts import LAYOUTS, detect, host_files
from rsae.config.sources import Site
from rsae.config.suite import Host, Suite, Teacher
from rsae.config.types import near
from rsae.data.hub.lockfile import Lock
from rsae.plan.job import CONFIG, Opened, pick
from rsae.plan.paths import HOST_FILES, RESULTS, Paths, fit_path

JUDGEMENTS = ("reconstruction", "downstream")


class Layout(Paths):
    """A suite by name, with results below ``results/{suite}``.

    ``kept``: the folder where a planner looks what is there already, if that is another than what ``results`` names
    (docs/cluster.md, Kubernetes).

    Raises:
        ValueError: a host, teacher, arm or seed that the suite does not have.
    """

    def __init__(self, name: str, suite: Suite, results: Path = RESULTS, kept: Path | None = None) -> None:
        super().__init__(name, results)
        self.suite, self.kept = suite, kept or results
        self.lock = Lock.read(CONFIG / f"{suite.smoke_of or name}.lock.yaml")
        for h, host in suite.hosts.items():
            for t, entry in host.teachers.items():
                if (wrong := _wrong_arms(entry)) is not None:
                    raise ValueError(f"{CONFIG}/suites/{name}.yaml: `hosts.{h}.teachers.{t}`: {wrong}")

    def host(self, host: str) -> Host:
        """The host's configuration."""
        return pick("host", host, self.suite.hosts)

    def teacher(self, host: str, teacher: str) -> Teacher:
        """The teacher's configuration."""
        return pick("teacher", teacher, self.host(host).teachers)

    def arm(self, host: str, teacher: str, arm: str) -> Arm:
        """The declared arm behind a name that the teacher's configuration lists."""
        entry = self.teacher(host, teacher)
        return pick("arm", arm, {name: arms(entry.kind)[entry.definition(name)] for name in entry.arms})

    def cells(self, host: str, teacher: str) -> list[tuple[str, int]]:
        """(arm, seed) of a pair, in table order: untuned arms have seed 0 only."""
        entry = self.teacher(host, teacher)
        return [
            (name, seed)
            for name in entry.arms
            for seed in (self.suite.seeds if self.arm(host, teacher, name).tuned else [0])
        ]

    def tuned_arms(self, host: str, teacher: str) -> list[str]:
        """The arms of a pair that are fine-tuned."""
        return [arm for arm in self.teacher(host, teacher).arms if self.arm(host, teacher, arm).tuned]

    def arm_names(self, tuned: bool) -> str:
        """Every arm of the suite that is tuned, or built from the teacher, as a pattern of a wildcard."""
        found = {a for h, t in self.pairs() for a, _ in self.cells(h, t) if self.arm(h, t, a).tuned == tuned}
        return "|".join(sorted(found - {"teacher"})) or "(?!)"  # which nothing matches

    def pairs(self) -> list[tuple[str, str]]:
        """(host, teacher) of every pair that is part of a target."""
        return [(h, t) for h, host in self.suite.hosts.items() for t, entry in host.teachers.items() if entry.enabled]

    def trained_pairs(self) -> list[tuple[str, str]]:
        """(host, teacher) of every pair with a tuned arm, also of those that no target asks for."""
        return [(h, t) for h, host in self.suite.hosts.items() for t in host.teachers if self.tuned_arms(h, t)]

    # where things are

    def address(self, host: str, teacher: str) -> str:
        """The address that a teacher reads."""
        site = self.teacher(host, teacher).site
        return host if site is None else f"{host}/{site}"

    def addresses(self) -> dict[str, str]:
        """{address: host} of every site that a pair reads."""
        return {self.address(h, t): h for h, t in self.pairs()}

    def sites(self, host: str) -> list[str]:
        """Addresses of all sites of a host, read or not: its own first, then those with names."""
        h = self.host(host)
        return [*([] if h.hook is None else [host]), *(f"{host}/{name}" for name in h.sites)]

    def reading(self, address: str) -> str:
        """The first of the host's sites with the same rows, read or not: a pair that is switched off moves nothing."""
        wanted = self.site(address)
        alike = ((a, self.site(a)) for a in self.sites(address.partition("/")[0]))
        return next(a for a, site in alike if (site.ctx, site.bos) == (wanted.ctx, wanted.bos))

    @cached_property
    def readings(self) -> dict[str, list[str]]:
        """{reading: addresses of it that pairs read}: the host is run once for all of these."""
        found: dict[str, list[str]] = {}
        for address in self.addresses():
            found.setdefault(self.reading(address), []).append(address)
        return found

    def harvested_with(self, address: str) -> list[str]:
        """The addresses whose activations come from one run of the host; one that no pair reads is alone."""
        members = self.readings.get(self.reading(address), [])
        return members if address in members else [address]

    def site(self, address: str) -> Site:
        """The site at an address."""
        host, _, name = address.partition("/")
        if not name:
            return self.host(host).site(None)
        return pick("site", name, self.host(host).sites)

    @override
    def token_file(self, address: str, split: str) -> Path:
        """Token rows of a split, which sites with the same `ctx` and `bos` share."""
        return super().token_file(self.reading(address), split)

    def read(self, host: str, teacher: str, split: str) -> Path:
        """Folder of shards of a split, at the site that a teacher reads."""
        return self.activations(self.address(host, teacher), split)

    def host_place(self, host: str) -> Opened:
        """The host's folder, or the receipt of what is fetched for it."""
        path = self.host(host).path
        if path is None:
            receipt = self.receipt(host)
            return Opened(receipt, [receipt])
        path = self._ours(path)
        try:
            return Opened(path, [path / f for f in host_files([p.name for p in path.iterdir()])])
        except (OSError, ValueError):  # whoever needs the files says what is missing
            return Opened(path, [path / f for f in HOST_FILES])

    def _ours(self, path: Path) -> Path:
        """A path of the configuration. One that begins with ``results`` is another target's product, and lies there."""
        return self.results.joinpath(*path.parts[1:]) if path.parts[:1] == ("results",) else path

    def teacher_place(self, host: str, teacher: str) -> Opened:
        """The teacher's folder or checkpoint, or the receipt of what is fetched for it."""
        path = self.teacher(host, teacher).path
        if path is None:
            receipt = self.receipt(host, teacher)
            return Opened(receipt, [receipt])
        path = self._ours(path)
        return Opened(path, [path] if path.is_file() else [path / f for f in LAYOUTS[detect(path)]])

    def judged(self, host: str, teacher: str) -> dict[str, Path]:
        """The two judgements from which a pair is tabled."""
        return {j: self.sums(host, teacher, j) for j in JUDGEMENTS}

    def fit_file(self, design: Design) -> Path:
        """The minimax fit that an arm's gate starts from; shared by all hosts and suites."""
        return fit_path(self.results, self.fit_settings(design))

    def fit_settings(self, design: Design) -> dict[str, Any]:
        """An arm's design problem, with the suite's jump where it has one."""
        jump = design.target == "jumprelu"
        return {
            "target": design.target,
            "degree": design.degree,
            "theta": self.suite.gate.theta if jump else None,
            "delta": self.suite.gate.delta if jump else None,
        }

    def tuning_file(self, host: str, teacher: str, arm: str) -> Path | None:
        """The trials that an arm takes its λ and rate from: its own, else the control's, else none."""
        grids = self.teacher(host, teacher).grids
        of = next((a for a in (arm, "teacher_ft") if a in grids), None)
        return None if of is None else self.tuning(host, teacher, of)

    def splits(self, host: str) -> list[str]:
        """The splits of a host that its tables need: ``tuning`` only where arms are tuned for themselves."""
        tuned = any(teacher.grids for teacher in self.host(host).teachers.values())
        return [s for s in self.host(host).tokens if tuned or s != "tuning"]


def _wrong_arms(entry: Teacher) -> str | None:
    """What is wrong with the arms that a teacher's configuration lists, by those that are declared."""
    known = arms(entry.kind)
    for name in entry.variants:
        if name in known:
            return f"the variant {name!r} has the name of an arm; call it something else"
    for name in entry.arms:
        definition = entry.definition(name)
        if definition not in known:
            return f"unknown arm {definition!r} for a {entry.kind} teacher{near(definition, known)}"
        start = known[definition].start
        if start is not None and start not in entry.arms:
            return f"arm {name!r} starts from {start!r}; add it to `arms`"
    return None
