"""Hosts and teachers that are trained here."""

from pathlib import Path

from rsae.config.assets import Assets, MoreTeachers
from rsae.config.load import load
from rsae.data.hub.lockfile import Lock
from rsae.data.text.documents import SPLITS
from rsae.plan.inputs import text_job
from rsae.plan.job import CONFIG, Job, pick
from rsae.plan.paths import HOST_FILES, SAE_FILES


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
        """Documents of every split, as the embedded host and teachers were trained on."""
        return text_job(self.recipe.text, SPLITS, self.root / "text", Lock({}))

    def host(self) -> Job:
        """Train the embedded host again, into results/assets."""
        train, validation = (self.root / "text" / f"{s}.jsonl" for s in ("host_train", "tuning"))
        return Job(
            "assets.train_host",
            [train, validation],
            {"train": train, "validation": validation, "out": self.root / "host"},
            {"seed": self.recipe.seed, **self.recipe.host.model_dump()},
        )

    def activations(self, split: str) -> Job:
        """Activations that the embedded teachers are trained on, or judged on."""
        text, host = self.root / "text" / f"{split}.jsonl", self.root / "host"
        return Job(
            "assets.train_activations",
            _read_by_host(text, host),
            {
                "text": text,
                "host": host,
                "out": self.activations_folder(split),
                "checkpoints": self.results / "checkpoints" / "assets" / split,
            },
            {
                "hook": self.recipe.training.hook,
                "ctx": self.recipe.host.ctx,
                "n_shards": self.recipe.training.n_shards,
            },
        )

    def teacher(self, teacher: str) -> Job:
        """Train one embedded teacher again, into results/assets."""
        recipe = pick("teacher", teacher, self.recipe.teachers, "config/embedded_assets.yaml")
        train, validation = (self.activations_folder(s) for s in ("teacher_train", "tuning"))
        shared = self.recipe.training.model_dump(exclude={"hook", "n_shards"})
        return Job(
            "assets.train_teacher",
            [train, validation],
            {"activations": train, "validation": validation, "out": self.root / "teachers" / teacher},
            {
                **recipe.model_dump(),
                "seed": self.recipe.seed,
                **shared,
            },
        )

    def files(self) -> list[Path]:
        """Everything that is promoted to ``assets/embedded``."""
        return [*self.host_files(), *(f for t in self.recipe.teachers for f in self.teacher_files(t))]

    def host_files(self) -> list[Path]:
        """The language model, its tokenizer and its card."""
        return [self.root / "host" / f for f in (*HOST_FILES, "card.json")]

    def teacher_files(self, name: str) -> list[Path]:
        """An SAE and its card."""
        return [self.root / "teachers" / name / f for f in (*SAE_FILES, "card.json")]

    def activations_folder(self, split: str) -> Path:
        """Shards that the teachers are trained or judged on."""
        return self.root / "activations" / split


class MoreTeachersPlan:
    """Teachers beside the committed ones: the same host, text and recipes but for what differs."""

    COMMITTED = Path("assets/embedded")

    def __init__(self, recipe: MoreTeachers, assets: AssetsPlan, results: Path = Path("results")) -> None:
        self.recipe, self.assets, self.results, self.root = recipe, assets, results, results / "teachers"

    def activations(self, split: str) -> Job:
        """Activations of the committed host that further teachers are trained on, or judged on."""
        job, host = self.assets.activations(split), self.COMMITTED / "host"
        text = job.arguments["text"]
        arguments = {
            "text": text,
            "host": host,
            "out": self.activations_folder(split),
            "checkpoints": self.results / "checkpoints" / "teachers" / split,
        }
        return job._replace(inputs=_read_by_host(text, host), arguments=arguments)

    def teacher(self, teacher: str) -> Job:
        """Train one teacher of config/teachers.yaml into results/teachers, or make one by spoiling a committed one."""
        entry = pick("teacher", teacher, self.recipe.teachers, "config/teachers.yaml")
        out = self.root / teacher
        if entry.scatter is not None:
            committed = self.COMMITTED / "teachers" / entry.like
            settings = {"scatter": entry.scatter, "seed": entry.seed}
            inputs = [committed / f for f in SAE_FILES]
            return Job("assets.scatter_thresholds", inputs, {"teacher": committed, "out": out}, settings)
        job = self.assets.teacher(entry.like)
        train, validation = (self.activations_folder(s) for s in ("teacher_train", "tuning"))
        differs = {"seed": entry.seed, "options": job.settings["options"] | entry.options}
        differs |= {} if entry.steps is None else {"steps": entry.steps}
        arguments = {"activations": train, "validation": validation, "out": out}
        return Job("assets.train_teacher", [train, validation], arguments, job.settings | differs)

    def files(self) -> list[Path]:
        """Every file of every teacher."""
        return [f for t in self.recipe.teachers for f in self.teacher_files(t)]

    def teacher_files(self, name: str) -> list[Path]:
        """An SAE and its card."""
        return [self.root / name / f for f in (*SAE_FILES, "card.json")]

    def activations_folder(self, split: str) -> Path:
        """Shards that they are trained or judged on."""
        return self.root / "activations" / split


def load_assets_plan(results: Path = Path("results")) -> AssetsPlan:
    """The plan of ``config/embedded_assets.yaml``."""
    return AssetsPlan(load(CONFIG / "embedded_assets.yaml", Assets), results)


def load_more_teachers_plan(results: Path = Path("results")) -> MoreTeachersPlan:
    """The plan of ``config/teachers.yaml``."""
    recipe = load(CONFIG / "teachers.yaml", MoreTeachers)
    return MoreTeachersPlan(recipe, load_assets_plan(results), results)
