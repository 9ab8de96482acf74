"""What holds over several suites: independently trained teachers of one recipe, judged together."""

from pathlib import Path

from rsae.config.assets import Families
from rsae.config.load import load
from rsae.plan.job import CONFIG, Job, derive_seed
from rsae.plan.plans import Plans


class FamiliesPlan:
    """Independent trainings of one recipe, judged together: teachers of several suites with one word as `family`."""

    def __init__(self, families: Families, plans: Plans, results: Path = Path("results")) -> None:
        self.suites, self.plans, self.root = families.suites, plans, results / "families"

    def tabulate(self) -> Job:
        """Independently trained teachers of one recipe, over suites: documents, seeds and teachers resampled.

        Raises:
            ValueError: there is no such suite, its file is wrong, or two members of a family have one name.
        """
        sums: dict[str, dict[str, dict[str, Path]]] = {}
        pooled = [self.plans[name] for name in self.suites]
        for plan in pooled:
            for group, teachers in plan.grouped("family").items():
                host, _, family = group.partition("/")
                for teacher in teachers:
                    members = sums.setdefault(family, {})
                    if teacher in members:
                        raise ValueError(f"family {family!r} has two teachers with the name {teacher!r}")
                    members[teacher] = plan.judged(host, teacher)
        inputs = [f for members in sums.values() for files in members.values() for f in files.values()]
        seed = derive_seed(*(plan.suite.seed for plan in pooled), "bootstrap")
        return Job("tables.tabulate_families", inputs, {"sums": sums, "out": self.root}, {"seed": seed})

    def files(self) -> list[Path]:
        """The tables."""
        return [self.root / name for name in ("families.csv", "families.md")]


def load_families_plan(plans: Plans, results: Path = Path("results")) -> FamiliesPlan:
    """The plan of ``config/families.yaml`` over the suites' plans."""
    return FamiliesPlan(load(CONFIG / "families.yaml", Families), plans, results)
