"""The whole computation as data: each job's inputs, outputs and settings.

Snakemake's rules and the command line both read it here, so a rule is exactly the command that a
person can type. A job's ``settings`` are the only part of the configuration that its stage ever
sees, which is what makes reruns precise: what is not handed over cannot matter.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

from rsae import config
from rsae.arms import Arm, Kind, arms
from rsae.docstrings import SPLITS
from rsae.files import canonical, digest
from rsae.provenance import code_digest, lock_digest

CONFIG = Path("config")
# In order of precedence up to the last split that the main job needs.
TEXT_SPLITS = SPLITS[: 1 + max(SPLITS.index(s) for s in config.EVALUATED)]
SAE_FILES = ("cfg.json", "sae_weights.safetensors")
HOST_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
TABLES = ("cells.csv", "reconstruction.md", "downstream.md", "win_loss.md")


class Job(NamedTuple):
    """One call of ``rsae.stages.{stage}.run(**arguments, **settings)``."""

    stage: str
    inputs: list[Path]  # files and folders that must exist, as Snakemake sees them
    arguments: dict[str, Any]  # paths, as the stage sees them
    settings: dict[str, Any]  # JSON values

    @property
    def fingerprint(self) -> str:
        """What a rerun depends on besides the inputs: settings, code of the stage, lock file."""
        module = f"rsae.stages.{self.stage}"
        return f"{canonical(self.settings)} code={code_digest(module)} lock={lock_digest()}"


def derive_seed(*parts: object) -> int:
    """A seed from (suite seed, stage, cell): adding a cell never changes another cell's numbers."""
    text = canonical([str(p) for p in parts])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])


class Plan:
    """All jobs of one suite, with results below ``results/{suite}``.

    Raises:
        ValueError: a host, teacher, arm or seed that the suite does not have.
    """

    def __init__(self, name: str, suite: config.Suite, results: Path = Path("results")) -> None:
        self.name, self.suite, self.results = name, suite, results
        self.root = results / name

    def host(self, host: str) -> config.Host:
        """The host's configuration."""
        return _pick("host", host, self.suite.hosts)

    def teacher(self, host: str, teacher: str) -> config.Teacher:
        """The teacher's configuration."""
        return _pick("teacher", teacher, self.host(host).teachers)

    def arm(self, host: str, teacher: str, arm: str) -> Arm:
        """The arm's definition."""
        entry = self.teacher(host, teacher)
        return _pick("arm", arm, {name: arms(entry.kind)[name] for name in entry.arms})

    def cells(self, host: str, teacher: str) -> list[tuple[str, int]]:
        """(arm, seed) of a pair, in table order: untuned arms have seed 0 only."""
        entry = self.teacher(host, teacher)
        return [
            (name, seed)
            for name, arm in arms(entry.kind).items()
            if name in entry.arms
            for seed in (self.suite.seeds if arm.tuned else [0])
        ]

    def pairs(self) -> list[tuple[str, str]]:
        """(host, teacher) of every pair."""
        return [(h, t) for h, host in self.suite.hosts.items() for t in host.teachers]

    # where things are

    def text_file(self, split: str) -> Path:
        """Documents of a split, JSON lines."""
        return self.root / "text" / f"{split}.jsonl"

    def token_file(self, host: str, split: str) -> Path:
        """Token rows of a split."""
        return self.root / host / "tokens" / f"{split}.parquet"

    def activations(self, host: str, split: str) -> Path:
        """Folder of shards of a split."""
        return self.root / host / "activations" / split

    def sae(self, host: str, teacher: str, arm: str, seed: int) -> Path:
        """Folder of an SAE."""
        return self.root / host / teacher / arm / f"seed-{seed}" / "sae"

    def sae_files(self, host: str, teacher: str, arm: str, seed: int) -> list[Path]:
        """The files in it."""
        return [self.sae(host, teacher, arm, seed) / f for f in SAE_FILES]

    def training(self, host: str, teacher: str, arm: str, seed: int) -> Path:
        """Report of a fine-tune."""
        return self.sae(host, teacher, arm, seed).with_name("training.json")

    def sums(self, host: str, teacher: str, judgement: str) -> Path:
        """Per-document sums of a pair."""
        return self.root / host / teacher / f"{judgement}.parquet"

    def tables(self) -> list[Path]:
        """The suite's tables."""
        return [self.root / "tables" / t for t in TABLES]

    def printed(self) -> list[Path]:
        """Those of the tables that a person reads."""
        return [path for path in self.tables() if path.suffix == ".md"]

    def cells_file(self) -> Path:
        """The long table."""
        return self.root / "tables" / "cells.csv"

    def expected_file(self) -> Path:
        """Reference numbers with their tolerances, committed."""
        return Path("expected") / f"{self.name}.json"

    def fit_file(self, arm: Arm) -> Path:
        """The minimax fit that an arm's gate starts from; shared by all hosts and suites."""
        return fit_path(self.results, self.fit_settings(arm))

    def fit_settings(self, arm: Arm) -> dict[str, Any]:
        """Design problem of an arm's gate: ReLU arms fit relu, the others the jump."""
        assert arm.degree is not None
        jump = arm.target == "jumprelu"
        return {
            "target": arm.target,
            "degree": arm.degree,
            "theta": self.suite.gate.theta if jump else None,
            "delta": self.suite.gate.delta if jump else None,
        }

    # what is to be done

    def text(self) -> Job:
        """Docstrings to documents, all needed splits at once (deduplication runs across them)."""
        return _text_job(self.suite.text, TEXT_SPLITS, self.root)

    def tokens(self, host: str, split: str) -> Job:
        """Documents to token rows."""
        h = self.host(host)
        text = self.text_file(split)
        return Job(
            "tokens",
            [text, h.path / "tokenizer.json", h.path / "tokenizer_config.json"],
            {"text": text, "host": h.path, "out": self.token_file(host, split)},
            {
                "ctx": h.ctx,
                "bos": h.bos,
                "max_tok": _pick("split", split, h.tokens),
                "max_rows_per_document": h.max_rows_per_document.get(split),
            },
        )

    def harvest(self, host: str, split: str) -> Job:
        """Token rows to activation shards."""
        h = self.host(host)
        tokens = self.token_file(host, split)
        return Job(
            "harvest",
            [tokens, *(h.path / f for f in HOST_FILES)],
            {"token_file": tokens, "host": h.path, "out": self.activations(host, split)},
            {"hook": h.hook, "dtype": h.dtype, "n_shards": h.n_shards},
        )

    def fit_gate(self, arm: Arm) -> Job:
        """Minimax fit of an arm's gate."""
        return Job("fit_gate", [], {}, self.fit_settings(arm))

    def import_teacher(self, host: str, teacher: str) -> Job:
        """Somebody's SAE to the common form."""
        entry = self.teacher(host, teacher)
        calibration = self.activations(host, "calibration")
        return Job(
            "import_teacher",
            [*(entry.path / f for f in SAE_FILES), calibration],
            {
                "teacher": entry.path,
                "calibration": calibration,
                "out": self.sae(host, teacher, "teacher", 0),
            },
            {"kind": entry.kind, "bandwidth": entry.bandwidth},
        )

    def init(self, host: str, teacher: str, arm: str) -> Job:
        """Copy of the teacher with a calibrated rational gate."""
        spec = self.arm(host, teacher, arm)
        fit = self.fit_file(spec)
        calibration, threshold = (self.activations(host, s) for s in ("calibration", "threshold"))
        return Job(
            "init",
            [*self.sae_files(host, teacher, "teacher", 0), fit, calibration, threshold],
            {
                "teacher": self.sae(host, teacher, "teacher", 0),
                "fit": fit,
                "calibration": calibration,
                "threshold": threshold,
                "out": self.sae(host, teacher, arm, 0),
            },
            {"arm": arm, "per_feature": spec.per_feature, "tail": self.suite.gate.tail},
        )

    def finetune(self, host: str, teacher: str, arm: str, seed: int) -> Job:
        """Fine-tune of one arm with one seed."""
        spec, entry, budget = self.arm(host, teacher, arm), self.teacher(host, teacher), self.suite.finetune
        if spec.start is None or seed not in self.suite.seeds:
            raise ValueError(f"arm {arm!r} with seed {seed} is not fine-tuned in suite {self.name!r}")
        activations, threshold = (self.activations(host, s) for s in ("finetune", "threshold"))
        starts = dict.fromkeys(("teacher", spec.start))
        return Job(
            "finetune",
            [f for a in starts for f in self.sae_files(host, teacher, a, 0)] + [activations, threshold],
            {
                "start": self.sae(host, teacher, spec.start, 0),
                "teacher": self.sae(host, teacher, "teacher", 0),
                "activations": activations,
                "threshold": threshold,
                "out": self.sae(host, teacher, arm, seed),
                "report": self.training(host, teacher, arm, seed),
            },
            {
                "arm": arm,
                # the same for all arms of a pair: they see the same batches
                "order_seed": derive_seed(self.suite.seed, "finetune", host, teacher, seed),
                "steps": budget.steps,
                "batch": budget.batch,
                "lr": entry.lr,
                "slow_lr": budget.slow_lr,
                "decay_share": budget.decay_share,
                "l1_coefficient": entry.l1_coefficient,
            },
        )

    def tune(self, host: str, teacher: str) -> Job:
        """λ and learning rate tried on tuning documents, control and paper's arm with one seed."""
        entry = self.teacher(host, teacher)
        if entry.tuning is None:
            raise ValueError(f"{host}/{teacher} has no `tuning` grid in the suite's configuration")
        job = self.finetune(host, teacher, "rsae", self.suite.seeds[0])
        tuning = self.activations(host, "tuning")
        kept = ("order_seed", "steps", "batch", "slow_lr", "decay_share")
        return Job(
            "tune",
            [*job.inputs, tuning],
            {
                "starts": {"teacher_ft": job.arguments["teacher"], "rsae": job.arguments["start"]},
                **{k: job.arguments[k] for k in ("teacher", "activations", "threshold")},
                "tuning": tuning,
                "out": self.root / host / teacher / "tuning.json",
            },
            {"grid": entry.tuning.model_dump(), **{k: job.settings[k] for k in kept}},
        )

    def evaluate_reconstruction(self, host: str, teacher: str) -> Job:
        """MSE, L0, alive of all SAEs of a pair."""
        cells = self.cells(host, teacher)
        test = self.activations(host, "test")
        return Job(
            "evaluate_reconstruction",
            [test, *(f for c in cells for f in self.sae_files(host, teacher, *c))],
            {
                "test": test,
                "saes": {c: self.sae(host, teacher, *c) for c in cells},
                "out": self.sums(host, teacher, "reconstruction"),
            },
            {},
        )

    def evaluate_downstream(self, host: str, teacher: str) -> Job:
        """Delta CE, loss recovered, KL of all SAEs of a pair."""
        h, cells = self.host(host), self.cells(host, teacher)
        tokens, calibration = self.token_file(host, "test"), self.activations(host, "calibration")
        return Job(
            "evaluate_downstream",
            [
                tokens,
                calibration,
                *(h.path / f for f in HOST_FILES),
                *(f for c in cells for f in self.sae_files(host, teacher, *c)),
            ],
            {
                "token_file": tokens,
                "host": h.path,
                "calibration": calibration,
                "saes": {c: self.sae(host, teacher, *c) for c in cells},
                "out": self.sums(host, teacher, "downstream"),
            },
            {"hook": h.hook},
        )

    def tabulate(self) -> Job:
        """Per-document sums to cells and tables."""
        sums = {(h, t): {j: self.sums(h, t, j) for j in ("reconstruction", "downstream")} for h, t in self.pairs()}
        saes = {
            (h, t, a, s): (self.sae(h, t, a, s), self.training(h, t, a, s) if self.arm(h, t, a).tuned else None)
            for h, t in self.pairs()
            for a, s in self.cells(h, t)
        }
        reports = [report for _, report in saes.values() if report]
        weights = [f for h, t, a, s in saes for f in self.sae_files(h, t, a, s)]
        return Job(
            "tables",
            [f for files in sums.values() for f in files.values()] + reports + weights,
            {"sums": sums, "saes": saes, "out": self.root / "tables"},
            {
                "suite": self.name,
                "seeds": {f"{h}/{t}": derive_seed(self.suite.seed, "bootstrap", h) for h, t in self.pairs()},
            },
        )

    def run_card(self) -> Job:
        """The conditions under which the tables were made."""
        return Job(
            "run_card",
            self.tables(),
            {
                "benchmarks": self.results / "benchmarks" / self.name,
                "reports": [
                    self.training(h, t, a, s)
                    for h, t in self.pairs()
                    for a, s in self.cells(h, t)
                    if self.arm(h, t, a).tuned
                ],
                "text_manifest": self.root / "text" / "manifest.json",
                "out": self.root / "run-card.json",
            },
            {
                "suite": self.name,
                "config_digest": digest(self.suite.model_dump(mode="json"))[:16],
                "lock_digest": lock_digest(),
                "objectives": {
                    f"{h}/{t}": self.teacher(h, t).model_dump(mode="json", include={"l1_coefficient", "lr", "tuning"})
                    for h, t in self.pairs()
                },
            },
        )

    def targets(self, host: str | None = None) -> list[Path]:
        """What a suite or one host of it produces."""
        if host is None:
            return [*self.tables(), self.root / "run-card.json"]
        self.host(host)
        judgements = ("reconstruction", "downstream")
        return [self.sums(h, t, j) for h, t in self.pairs() if h == host for j in judgements]


def _text_job(name: str, splits: Sequence[str], root: Path) -> Job:
    text = config.load(CONFIG / "text" / f"{name}.yaml", config.Text)
    settings = {"packages": text.packages, "shares": text.shares, "splits": list(splits)}
    return Job("text", [], {"out": root / "text"}, settings)


def fit_path(results: Path, fit: dict[str, Any]) -> Path:
    """Where the record of a fit lies: its design problem is its name."""
    p, q = fit["degree"]
    where = [fit["target"], *(f"{k}-{fit[k]:g}" for k in ("theta", "delta") if fit[k] is not None)]
    return results / "gates" / "_".join(where) / f"{p}-{q}.json"


def _pick(what: str, name: str, known: dict[str, Any]) -> Any:
    if name not in known:
        raise ValueError(f"no {what} {name!r} in this suite; there are {', '.join(known)}")
    return known[name]


def load_plans(folder: Path | str = CONFIG / "suites", results: Path = Path("results")) -> dict[str, Plan]:
    """One plan per suite file."""
    return {name: Plan(name, suite, results) for name, suite in config.load_suites(folder).items()}


def stage_digest(stage: str) -> str:
    """Fingerprint of a stage whose settings stand in its file name."""
    return f"code={code_digest(f'rsae.stages.{stage}')} lock={lock_digest()}"


def _arm_names(tuned: bool) -> str:
    names = {name for kind in get_args(Kind) for name, arm in arms(kind).items() if arm.tuned == tuned}
    return "|".join(sorted(names - {"teacher"}))


INIT_ARMS, TUNED_ARMS = _arm_names(False), _arm_names(True)  # patterns of wildcards


class AssetsPlan:
    """How the committed host and teachers are trained again, into ``results/assets``."""

    def __init__(self, recipe: config.Assets, results: Path = Path("results")) -> None:
        self.recipe, self.root = recipe, results / "assets"

    def text_files(self) -> list[Path]:
        """Documents of every split, for deduplication runs across all of them."""
        return [self.root / "text" / f"{s}.jsonl" for s in SPLITS]

    def text(self) -> Job:
        """Docstrings to documents, all splits."""
        return _text_job(self.recipe.text, SPLITS, self.root)

    def host(self) -> Job:
        """The language model."""
        train, validation = (self.root / "text" / f"{s}.jsonl" for s in ("host_train", "tuning"))
        return Job(
            "train_host",
            [train, validation],
            {"train": train, "validation": validation, "out": self.root / "host"},
            {"seed": self.recipe.seed, **self.recipe.host.model_dump()},
        )

    def activations(self, split: str) -> Job:
        """Tokens and activations that the teachers are trained or judged on."""
        text, host = self.root / "text" / f"{split}.jsonl", self.root / "host"
        return Job(
            "train_activations",
            [text, *(host / f for f in HOST_FILES)],
            {"text": text, "host": host, "out": self.root / "activations" / split},
            {
                "hook": self.recipe.training.hook,
                "ctx": self.recipe.host.ctx,
                "n_shards": self.recipe.training.n_shards,
            },
        )

    def teacher(self, name: str) -> Job:
        """One SAE, by sae_lens's trainer."""
        recipe = _pick("teacher", name, self.recipe.teachers)
        train, validation = (self.root / "activations" / s for s in ("teacher_train", "tuning"))
        shared = self.recipe.training.model_dump(exclude={"hook", "n_shards"})
        return Job(
            "train_teacher",
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


def load_assets_plan(results: Path = Path("results")) -> AssetsPlan:
    """The plan of ``config/embedded_assets.yaml``."""
    return AssetsPlan(config.load(CONFIG / "embedded_assets.yaml", config.Assets), results)
