"""The plans of all suites; a suite whose file is wrong stops itself alone, and is told of when it is asked for."""

import sys
from collections.abc import Iterable
from pathlib import Path

from rsae.config.suites import find_suites
from rsae.config.types import near
from rsae.plan.job import CONFIG
from rsae.plan.tables import Plan

OF_A_SUITE = ("report-", "fetch_", "check_")  # what stands before its name in those of rules


class Plans(dict[str, Plan]):
    """Plans by suite.

    ``wrong``: what is the matter with the others, by the names of the suites and of their hosts.
    """

    def __init__(self, wrong: dict[str, Exception]) -> None:
        super().__init__()
        self.wrong = wrong

    def __missing__(self, suite: str) -> Plan:
        """Raises ValueError: what is wrong with the suite's file, or which suites there are."""
        if suite in self.wrong:
            raise self.wrong[suite]
        raise ValueError(f"no suite {suite!r} in {CONFIG / 'suites'}; there are {', '.join(self)}")

    def of(self, host: str) -> Plan:
        """The plan of the suite that has ``host``.

        Raises:
            ValueError: no suite has it, or the one that has is wrong.
        """
        for plan in self.values():
            if host in plan.suite.hosts:
                return plan
        if host in self.wrong:
            raise self.wrong[host]
        known = ", ".join(h for plan in self.values() for h in plan.suite.hosts)
        raise ValueError(f"no host {host!r} in {CONFIG / 'suites'}; there are {known}")

    def mistake(self, targets: Iterable[str], rules: Iterable[str]) -> str | None:
        """What is wrong with the first of ``targets`` that nobody can make; paths are left to Snakemake.

        A target is the name of one of ``rules``, or a path.
        """
        known = {*rules}
        for target in targets:
            parts = Path(target).parts
            names = {target, *(target.removeprefix(p) for p in OF_A_SUITE), *parts[1:2]} if parts else set()
            for name in sorted(names & {*self.wrong}):
                if target not in known:
                    return str(self.wrong[name])
            if target not in known and len(parts) == 1 and not Path(target).exists():
                return f"no target {target!r}{near(target, known, '`snakemake --list-target-rules` shows all')}"
        return None


def load_plans(
    folder: Path | str = CONFIG / "suites", results: Path = Path("results"), kept: Path | None = None
) -> Plans:
    """One plan per suite file that is right; a line on stderr names every other.

    Raises:
        ValueError: there is none.
    """
    found = find_suites(folder)
    plans = Plans(dict(found.wrong))
    for name, suite in found.suites.items():
        try:
            plan = Plan(name, suite, results, kept)
            _ = plan.targets(), plan.readings, plan.from_hub  # arms, sites, texts and the lock file
        except (ValueError, OSError) as error:
            plans.wrong |= {name: error, **dict.fromkeys(suite.hosts, error)}
        else:
            plans[name] = plan
    for name, error in plans.wrong.items():
        first, *more = str(error).splitlines() or [type(error).__name__]
        if name not in found.hosts and Path(folder, f"{name}.yaml").is_file():
            print(
                f"warning: suite {name} is left out: {first}{f' (and {len(more)} more)' * bool(more)}", file=sys.stderr
            )
    plans.wrong |= {host: found.wrong[suite] for host, suite in found.hosts.items()}
    if not plans:
        raise next(iter(plans.wrong.values()))
    return plans
