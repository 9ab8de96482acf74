"""Hosts and teachers that are trained here, and what holds over several suites."""

from collections.abc import Mapping
from pathlib import Path

from rsae.config.assets import Assets, Families, MoreTeachers
from rsae.config.load import load
from rsae.data.hub.lockfile import Lock
from rsae.data.text.docstrings import SPLITS
from rsae.plan.job import CONFIG, HOST_FILES, SAE_FILES, Job, derive_seed, pick
from rsae.plan.tables import Plan
from rsae.plan.texts import text_job


def _read_by_host(text: Path, host: Path) -> list[Path]:
    return [text, text.with_name("manifest.json"), *(host / f for f in HOST_FILES)]


class AssetsPlan:
    """How the committed host and teachers are trained again, into ``results/assets``."""

    def __init__(self, recipe: Assets, results: Path = Path("results")) -> None:
        self.recipe, self.results, self.root = recipe, results, results / "assets"

    def text_files(self) -> list[Path]:
        """Documents of every split, for deduplication runs across all of them."""
        return [self.root / "text" / f"{s}.jsonl" for s in SPLITS]

    def text(self) -> Job:
        """Docstrings to documents, all splits."""
        return text_job(self.recipe.text, SPLITS, self.root / "text", Lock({}))

    def host(self) -> Job:
        """The language model."""
        train, validation = (self.root / "text" / f"{s}.jsonl" for s in ("host_train", "tuning"))
        return Job(
            "assets.train_host",
            [train, validation],
            {"train": train, "validation": validation, "out": self.root / "host"},
            {"seed": self.recipe.seed, **self.recipe.host.model_dump()},
        )

    def activations(self, split: str) -> Job:
        """Tokens and activations that the teachers are trained or judged on."""
        text, host = self.root / "text" / f"{split}.jsonl", self.root / "host"
        return Job(
            "assets.train_activations",
            _read_by_host(text, host),
            {
                "text": text,
                "host": host,
                "out": self.root / "activations" / split,
                "checkpoints": self.results / "checkpoints" / "assets" / split,
            },
            {
                "hook": self.recipe.training.hook,
                "ctx": self.recipe.host.ctx,
                "n_shards": self.recipe.training.n_shards,
            },
        )

    def teacher(self, name: str) -> Job:
        """One SAE, by sae_lens's trainer."""
        recipe = pick("teacher", name, self.recipe.teachers, "config/embedded_assets.yaml")
        train, validation = (self.root / "activations" / s for s in ("teacher_train", "tuning"))
        shared = self.recipe.training.model_dump(exclude={"hook", "n_shards"})
        return Job(
            "assets.train_teacher",
            [train, validation],
            {"activations": train, "validation": validation, "out": self.root / "teachers" / name},
            {
                **recipe.model_dump(),
                "seed": self.recipe.seed,
                **shared,
            },
        )

    def files(self) -> list[Path]:
        """Everything that is promoted to ``assets/embedded``."""
        host = [self.root / "host" / f for f in (*HOST_FILES, "card.json")]
        teachers = [self.root / "teachers" / t / f for t in self.recipe.teachers for f in (*SAE_FILES, "card.json")]
        return host + teachers


class MoreTeachersPlan:
    """Teachers beside the committed ones: the same host, text and recipes but for what differs."""

    COMMITTED = Path("assets/embedded")

    def __init__(self, recipe: MoreTeachers, assets: AssetsPlan, results: Path = Path("results")) -> None:
        self.recipe, self.assets, self.results, self.root = recipe, assets, results, results / "teachers"

    def activations(self, split: str) -> Job:
        """What the teachers are trained or judged on, through the committed host."""
        job, host = self.assets.activations(split), self.COMMITTED / "host"
        text = job.arguments["text"]
        arguments = {
            "text": text,
            "host": host,
            "out": self.root / "activations" / split,
            "checkpoints": self.results / "checkpoints" / "teachers" / split,
        }
        return job._replace(inputs=_read_by_host(text, host), arguments=arguments)

    def teacher(self, name: str) -> Job:
        """One SAE: by sae_lens's trainer, or by spoiling a committed one."""
        entry, out = pick("teacher", name, self.recipe.teachers, "config/teachers.yaml"), self.root / name
        if entry.scatter is not None:
            teacher = self.COMMITTED / "teachers" / entry.like
            settings = {"scatter": entry.scatter, "seed": entry.seed}
            inputs = [teacher / f for f in SAE_FILES]
            return Job("assets.scatter_thresholds", inputs, {"teacher": teacher, "out": out}, settings)
        job = self.assets.teacher(entry.like)
        train, validation = (self.root / "activations" / s for s in ("teacher_train", "tuning"))
        differs = {"seed": entry.seed, "options": job.settings["options"] | entry.options}
        differs |= {} if entry.steps is None else {"steps": entry.steps}
        arguments = {"activations": train, "validation": validation, "out": out}
        return Job("assets.train_teacher", [train, validation], arguments, job.settings | differs)

    def files(self) -> list[Path]:
        """Every file of every teacher."""
        return [self.root / t / f for t in self.recipe.teachers for f in (*SAE_FILES, "card.json")]


class FamiliesPlan:
    """Independent trainings of one recipe, judged together: teachers of several suites with one word as `family`."""

    def __init__(self, families: Families, plans: Mapping[str, Plan], results: Path = Path("results")) -> None:
        self.suites, self.plans, self.root = families.suites, plans, results / "families"

    def tabulate(self) -> Job:
        """``families.csv`` and ``families.md``.

        Raises:
            ValueError: there is no such suite, or two members of a family have one name.
        """
        sums: dict[str, dict[str, dict[str, Path]]] = {}
        pooled: list[Plan] = [pick("suite", name, self.plans, "config/suites") for name in self.suites]
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


def load_assets_plan(results: Path = Path("results")) -> AssetsPlan:
    """The plan of ``config/embedded_assets.yaml``."""
    return AssetsPlan(load(CONFIG / "embedded_assets.yaml", Assets), results)


def load_more_teachers_plan(results: Path = Path("results")) -> MoreTeachersPlan:
    """The plan of ``config/teachers.yaml``."""
    recipe = load(CONFIG / "teachers.yaml", MoreTeachers)
    return MoreTeachersPlan(recipe, load_assets_plan(results), results)


def load_families_plan(plans: Mapping[str, Plan], results: Path = Path("results")) -> FamiliesPlan:
    """The plan of ``config/families.yaml`` over the suites' plans."""
    return FamiliesPlan(load(CONFIG / "families.yaml", Families), plans, results)
