"""The whole computation as data: each job's inputs, outputs and settings.

Snakemake's rules and the command line both read it here, so a rule is exactly the command that a
person can type. A job's ``settings`` are the only part of the configuration that its stage ever
sees, which is what makes reruns precise: what is not handed over cannot matter.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

from rsae import config
from rsae.arms import Arm, Design, arms
from rsae.docstrings import SPLITS
from rsae.estimates import BYTES, Shape
from rsae.files import canonical, digest
from rsae.locks import Lock
from rsae.provenance import code_digest, lock_digest
from rsae.registry import look_up
from rsae.sources import LAYOUTS, Docstrings, FileText, HubText, Text, TextFile, detect, host_files

CONFIG = Path("config")
# In order of precedence up to the last split that the main job needs.
TEXT_SPLITS = SPLITS[: 1 + max(SPLITS.index(s) for s in config.EVALUATED)]
SAE_FILES = LAYOUTS["sae_lens"]
LIBRARIES_MB = 2000  # Python, torch and the embedded suite's data: at most 1.5 GB were measured (docs/cluster.md)
HOST_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
TABLES = ("cells.csv", "reconstruction.md", "downstream.md", "win_loss.md", "strict.md", "claims.md")
PROBED = 2000  # paragraphs of each side of a probe at most, and as many single tokens
EXAMPLE = 128  # ids of a labelled document that are read, as SAEBench does; a pair's 4000 examples stay in memory
JUDGEMENTS = ("reconstruction", "downstream")
PARETO = (
    "pareto.csv", "matched.csv", "pareto.md",
    *(f"pareto_{m}.{kind}" for m in ("mse_sum", "fvu", "delta_ce") for kind in ("svg", "png")),
)  # fmt: skip
EXTRA_TABLES = {
    "probing": ("probing.csv", "probing.md"),
    "anatomy": ("anatomy.csv", "anatomy.md", "l0_by_eps.svg", "l0_by_eps.png"),
    "convergence": ("convergence.md",),
}


RECEIPT = "source.json"  # of what was fetched from a hub; see :mod:`rsae.receipts`


class Opened(NamedTuple):
    """A host or a teacher, as a stage opens it, and the files that it consists of."""

    path: Path
    inputs: list[Path]


class Job(NamedTuple):
    """One call of ``rsae.stages.{stage}.run(**arguments, **settings)``."""

    stage: str
    inputs: list[Path]  # files and folders that must exist, as Snakemake sees them
    arguments: dict[str, Any]  # paths, as the stage sees them
    settings: dict[str, Any]  # JSON values
    module: str | None = None  # code that the stage finds by name, such as an arm's

    @property
    def fingerprint(self) -> str:
        """What a rerun depends on besides the inputs: settings, code of the stage, lock file."""
        code = [code_digest(m) for m in (f"rsae.stages.{self.stage}", self.module) if m]
        return f"{canonical(self.settings)} code={'+'.join(code)} lock={lock_digest()}"


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
        self.lock = Lock.read(CONFIG / f"{suite.smoke_of or name}.lock.yaml")

    def host(self, host: str) -> config.Host:
        """The host's configuration."""
        return _pick("host", host, self.suite.hosts)

    def teacher(self, host: str, teacher: str) -> config.Teacher:
        """The teacher's configuration."""
        return _pick("teacher", teacher, self.host(host).teachers)

    def arm(self, host: str, teacher: str, arm: str) -> Arm:
        """The declared arm behind a name that the teacher's configuration lists."""
        entry = self.teacher(host, teacher)
        return _pick("arm", arm, {name: arms(entry.kind)[entry.definition(name)] for name in entry.arms})

    def cells(self, host: str, teacher: str) -> list[tuple[str, int]]:
        """(arm, seed) of a pair, in table order: untuned arms have seed 0 only."""
        entry = self.teacher(host, teacher)
        return [
            (name, seed)
            for name in entry.arms
            for seed in (self.suite.seeds if self.arm(host, teacher, name).tuned else [0])
        ]

    def arm_names(self, tuned: bool) -> str:
        """Every arm of the suite that is tuned, or built from the teacher, as a pattern of a wildcard."""
        found = {a for h, t in self.pairs() for a, _ in self.cells(h, t) if self.arm(h, t, a).tuned == tuned}
        return "|".join(sorted(found - {"teacher"})) or "(?!)"  # which nothing matches

    def pairs(self) -> list[tuple[str, str]]:
        """(host, teacher) of every pair that is part of a target."""
        return [(h, t) for h, host in self.suite.hosts.items() for t, entry in host.teachers.items() if entry.enabled]

    # where things are; an address is HOST, or HOST/SITE for a site with a name

    def address(self, host: str, teacher: str) -> str:
        """The address that a teacher reads."""
        site = self.teacher(host, teacher).site
        return host if site is None else f"{host}/{site}"

    def addresses(self) -> dict[str, str]:
        """{address: host} of every site that a pair reads."""
        return {self.address(h, t): h for h, t in self.pairs()}

    def site(self, address: str) -> config.Site:
        """The site at an address."""
        host, _, name = address.partition("/")
        if not name:
            return self.host(host).site(None)
        return _pick("site", name, self.host(host).sites)

    def text_of(self, address: str) -> str | None:
        """Name of the text that a host reads; None for the suite's."""
        return self.host(address.partition("/")[0]).text

    def text_folder(self, name: str | None) -> Path:
        """Documents: the suite's, or those of a text by name."""
        return self.root / "text" / (name or "")

    def token_file(self, address: str, split: str) -> Path:
        """Token rows of a split."""
        return self.root / address / "tokens" / f"{split}.parquet"

    def activations(self, address: str, split: str) -> Path:
        """Folder of shards of a split."""
        return self.root / address / "activations" / split

    def read(self, host: str, teacher: str, split: str) -> Path:
        """Folder of shards of a split, at the site that a teacher reads."""
        return self.activations(self.address(host, teacher), split)

    def host_place(self, host: str) -> Opened:
        """The host's folder, or the receipt of what is fetched for it."""
        path = self.host(host).path
        if path is None:
            receipt = self.root / host / RECEIPT
            return Opened(receipt, [receipt])
        try:
            return Opened(path, [path / f for f in host_files([p.name for p in path.iterdir()])])
        except (OSError, ValueError):  # whoever needs the files says what is missing
            return Opened(path, [path / f for f in HOST_FILES])

    def teacher_place(self, host: str, teacher: str) -> Opened:
        """The teacher's folder or checkpoint, or the receipt of what is fetched for it."""
        path = self.teacher(host, teacher).path
        if path is None:
            receipt = self.root / host / teacher / RECEIPT
            return Opened(receipt, [receipt])
        return Opened(path, [path] if path.is_file() else [path / f for f in LAYOUTS[detect(path)]])

    def sae(self, host: str, teacher: str, arm: str, seed: int) -> Path:
        """Folder of an SAE."""
        return self.root / host / teacher / arm / f"seed-{seed}" / "sae"

    def sae_files(self, host: str, teacher: str, arm: str, seed: int) -> list[Path]:
        """The files in it."""
        return [self.sae(host, teacher, arm, seed) / f for f in SAE_FILES]

    def training(self, host: str, teacher: str, arm: str, seed: int) -> Path:
        """Report of a fine-tune."""
        return self.sae(host, teacher, arm, seed).with_name("training.json")

    def verified(self, host: str, teacher: str) -> Path:
        """What the teacher gate measured."""
        return self.root / host / teacher / "verified.json"

    def sums(self, host: str, teacher: str, judgement: str) -> Path:
        """Per-document sums of a pair."""
        return self.root / host / teacher / f"{judgement}.parquet"

    def judged(self, host: str, teacher: str) -> dict[str, Path]:
        """The two judgements from which a pair is tabled."""
        return {j: self.sums(host, teacher, j) for j in JUDGEMENTS}

    def tables(self) -> list[Path]:
        """The suite's tables."""
        return [self.root / "tables" / t for t in TABLES]

    def printed(self) -> list[Path]:
        """Those of the tables that a person reads."""
        return [path for path in (*self.tables(), *self.extra_tables()) if path.suffix == ".md"]

    def cells_file(self) -> Path:
        """The long table."""
        return self.root / "tables" / "cells.csv"

    def expected_file(self) -> Path:
        """Reference numbers with their tolerances, committed."""
        return Path("expected") / f"{self.name}.json"

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

    # what is to be done

    def text(self, name: str | None = None) -> Job:
        """Text to documents, all needed splits at once (deduplication runs across them)."""
        return _text_job(name or self.suite.text, TEXT_SPLITS, self.text_folder(name), self.lock)

    def fetch_host(self, host: str) -> Job:
        """A host of a hub to verified files in the cache, and a receipt."""
        return self._fetch(self.host_place(host).path, self.host_source(host))

    def fetch_teacher(self, host: str, teacher: str) -> Job:
        """A teacher of a hub to verified files in the cache, and a receipt."""
        return self._fetch(self.teacher_place(host, teacher).path, self.teacher_source(host, teacher))

    def _fetch(self, out: Path, source: dict[str, Any] | None) -> Job:
        if source is None:
            raise ValueError("a `path` of this machine is not fetched")
        return Job("fetch", [], {"out": out}, source)

    def host_source(self, host: str) -> dict[str, Any] | None:
        """What is fetched for a host; None where it is a path of this machine."""
        h = self.host(host)
        if h.repo is None:
            return None
        return {"repo": h.repo, "folder": "", "layout": None, **self.lock.settings(h.repo, h.revision, "")}

    def teacher_source(self, host: str, teacher: str) -> dict[str, Any] | None:
        """What is fetched for a teacher; None where it is a path of this machine."""
        entry = self.teacher(host, teacher)
        if entry.path is not None:
            return None
        if entry.release is not None and entry.sae_id is not None:
            repo, folder, layout = look_up(entry.release, entry.sae_id)
        else:
            repo, folder, layout = str(entry.repo), entry.folder, entry.layout
        pinned = self.lock.settings(repo, entry.revision, folder)
        return {"repo": repo, "folder": folder, "layout": layout, **pinned}

    def tokens(self, address: str, split: str) -> Job:
        """Documents to token rows."""
        h, site = self.host(address.partition("/")[0]), self.site(address)
        host, text = self.host_place(address.partition("/")[0]), self.text_folder(h.text) / f"{split}.jsonl"
        vocabulary = [p for p in host.inputs if p.suffix != ".safetensors" and p.name != "config.json"]
        return Job(
            "tokens",
            [text, *vocabulary],
            {"text": text, "host": host.path, "out": self.token_file(address, split)},
            {
                "ctx": site.ctx,
                "bos": site.bos,
                "max_tok": _pick("split", split, self.suite.tokens(address.partition("/")[0])),
                "max_rows_per_document": h.max_rows_per_document.get(split),
            },
        )

    def harvest(self, address: str, split: str) -> Job:
        """Token rows to activation shards."""
        h, host = self.host(address.partition("/")[0]), self.host_place(address.partition("/")[0])
        tokens = self.token_file(address, split)
        return Job(
            "harvest",
            [tokens, *host.inputs],
            {"token_file": tokens, "host": host.path, "out": self.activations(address, split)},
            {**self._opening(address), "dtype": h.dtype, "n_shards": h.n_shards},
        )

    def _opening(self, address: str) -> dict[str, Any]:
        return self.site(address).model_dump(include={"hook", "center_writing_weights"})

    def import_teacher(self, host: str, teacher: str) -> Job:
        """Somebody's SAE to the common form; taken to another sparsity where the configuration says so."""
        entry, source = self.teacher(host, teacher), self.teacher_place(host, teacher)
        calibration = self.read(host, teacher, "calibration")
        return Job(
            "import_teacher" if entry.l0 is None else "change_sparsity",
            [*source.inputs, calibration],
            {"teacher": source.path, "calibration": calibration, "out": self.sae(host, teacher, "teacher", 0)},
            self._reading(host, teacher) | ({} if entry.l0 is None else {"l0": entry.l0}),
        )

    def _reading(self, host: str, teacher: str) -> dict[str, Any]:
        entry = self.teacher(host, teacher)
        return {
            "hook": self.site(self.address(host, teacher)).hook,
            "kind": entry.kind,
            "bandwidth": entry.bandwidth,
            "layout": entry.layout,
            "stated": entry.stated.model_dump(exclude_none=True),
        }

    def verify_teacher(self, host: str, teacher: str) -> Job:
        """The teacher gate: nothing is upgraded before it.

        Its verdict is an ordinary input of what follows. As ``ancient`` it would not be a reason to run again, but
        beside a job that runs again Snakemake 9.27 overlooks what waits for it so, whatever its own reasons.
        """
        entry, address = self.teacher(host, teacher), self.address(host, teacher)
        model, source = self.host_place(host), self.teacher_place(host, teacher)
        tokens, calibration = self.token_file(address, "calibration"), self.activations(address, "calibration")
        return Job(
            "verify_teacher",
            [*source.inputs, *model.inputs, tokens, calibration],
            {
                "teacher": source.path,
                "host": model.path,
                "token_file": tokens,
                "calibration": calibration,
                "out": self.verified(host, teacher),
            },
            self._opening(address)
            | self._reading(host, teacher)
            | {"published": entry.published.model_dump(exclude_none=True)},
        )

    def init(self, host: str, teacher: str, arm: str) -> Job:
        """An untuned arm, built from the teacher."""
        entry, spec = self.teacher(host, teacher), self.arm(host, teacher, arm)
        if spec.build is None:
            raise ValueError(f"arm {arm!r} is not built from the teacher; see `import-teacher` and `finetune`")
        fit = None if spec.design is None else self.fit_file(spec.design)
        calibration, threshold = (self.read(host, teacher, s) for s in ("calibration", "threshold"))
        return Job(
            "init",
            [
                *self.sae_files(host, teacher, "teacher", 0),
                self.verified(host, teacher),
                *([fit] if fit else []),
                calibration,
                threshold,
            ],
            {
                "teacher": self.sae(host, teacher, "teacher", 0),
                "fit": fit,
                "calibration": calibration,
                "threshold": threshold,
                "out": self.sae(host, teacher, arm, 0),
            },
            {"arm": spec.name, "kind": entry.kind, "tail": self.suite.gate.tail},
            spec.module,
        )

    def finetune(self, host: str, teacher: str, arm: str, seeds: Sequence[int] | None = None) -> Job:
        """Fine-tunes of one arm, one after the other, with all seeds of the suite or some of them."""
        spec, entry, budget = self.arm(host, teacher, arm), self.teacher(host, teacher), self.suite.finetune
        seeds = self.suite.seeds if seeds is None else seeds
        if spec.start is None or not set(seeds) <= set(self.suite.seeds):
            raise ValueError(f"arm {arm!r} with seeds {list(seeds)} is not fine-tuned in suite {self.name!r}")
        activations, threshold = (self.read(host, teacher, s) for s in ("finetune", "threshold"))
        variant = entry.variants.get(arm) or config.Variant(arm=arm)

        def chosen(name: str, otherwise: float) -> float:
            own = getattr(variant, name)
            return otherwise if own is None else own

        tuning = self.tuning_file(host, teacher, arm)
        starts = dict.fromkeys(("teacher", spec.start))
        return Job(
            "finetune",
            [f for a in starts for f in self.sae_files(host, teacher, a, 0)]
            + [self.verified(host, teacher), activations, threshold, *([tuning] if tuning else [])],
            {
                "start": self.sae(host, teacher, spec.start, 0),
                "teacher": self.sae(host, teacher, "teacher", 0),
                "activations": activations,
                "threshold": threshold,
                "tuning": tuning,
                "outs": {s: self.sae(host, teacher, arm, s) for s in seeds},
                "checkpoints": self.results / "checkpoints" / self.name / host / teacher / arm,
                "reports": {s: self.training(host, teacher, arm, s) for s in seeds},
            },
            {
                "arm": arm,
                "definition": spec.name,
                "kind": entry.kind,
                # the same for all arms of a pair: they see the same batches
                "order_seeds": {str(s): derive_seed(self.suite.seed, "finetune", host, teacher, s) for s in seeds},
                # the control's rate is good for arms that move the same weights, its λ is not: prices differ
                "takes": ["l1_coefficient", "lr"] if arm in entry.grids else ["lr"] if tuning else [],
                "steps": budget.steps,
                "batch": budget.batch,
                "lr": chosen("lr", entry.lr),
                "slow_lr": chosen("slow_lr", budget.slow_lr),
                "decay_share": budget.decay_share,
                "l1_coefficient": chosen("l1_coefficient", entry.l1_coefficient),
                "objective": spec.objective or budget.objective,
            },
            spec.module,
        )

    def tuning_file(self, host: str, teacher: str, arm: str) -> Path | None:
        """The trials that an arm takes its λ and rate from: its own, else the control's, else none."""
        grids = self.teacher(host, teacher).grids
        of = next((a for a in (arm, "teacher_ft") if a in grids), None)
        return None if of is None else self.root / host / teacher / of / "tuning.json"

    def trials(self) -> dict[str, Path]:
        """{HOST/TEACHER/ARM: trials} of every arm that is tuned for itself."""
        arms = [(h, t, arm) for h, t in self.runnable() for arm in self.teacher(h, t).grids]
        return {"/".join(arm): path for arm in arms if (path := self.tuning_file(*arm))}

    def tune_arm(self, host: str, teacher: str, arm: str) -> Job:
        """λ and learning rate of one arm, tried on tuning documents with one seed."""
        entry, seed = self.teacher(host, teacher), self.suite.seeds[0]
        grid = _pick("grid of the arm", arm, entry.grids)
        job = self.finetune(host, teacher, arm, [seed])
        tuning, out = self.read(host, teacher, "tuning"), self.tuning_file(host, teacher, arm)
        kept = ("definition", "kind", "steps", "batch", "slow_lr", "decay_share", "objective")
        return Job(
            "tune_arm",
            [*(f for f in job.inputs if f != out), tuning],
            {
                **{k: job.arguments[k] for k in ("start", "teacher", "activations", "threshold")},
                "tuning": tuning,
                "out": out,
            },
            {
                "grid": grid.model_dump(),
                "order_seed": job.settings["order_seeds"][str(seed)],
                **{k: job.settings[k] for k in kept},
            },
            job.module,
        )

    def tune(self, host: str, teacher: str) -> Job:
        """λ and learning rate tried on tuning documents, control and paper's arm with one seed."""
        entry = self.teacher(host, teacher)
        if entry.tuning is None:
            raise ValueError(f"{host}/{teacher} has no `tuning` grid in the suite's configuration")
        seed = self.suite.seeds[0]
        job = self.finetune(host, teacher, "rsae", [seed])
        tuning = self.read(host, teacher, "tuning")
        kept = ("steps", "batch", "slow_lr", "decay_share", "objective")
        return Job(
            "tune",
            [*job.inputs, tuning],
            {
                "starts": {"teacher_ft": job.arguments["teacher"], "rsae": job.arguments["start"]},
                **{k: job.arguments[k] for k in ("teacher", "activations", "threshold")},
                "tuning": tuning,
                "out": self.root / host / teacher / "tuning.json",
            },
            {
                "grid": entry.tuning.model_dump(),
                "order_seed": job.settings["order_seeds"][str(seed)],
                **{k: job.settings[k] for k in kept},
            },
        )

    def evaluate_reconstruction(self, host: str, teacher: str) -> Job:
        """MSE, L0, alive of all SAEs of a pair."""
        cells = self.cells(host, teacher)
        test = self.read(host, teacher, "test")
        return Job(
            "evaluate_reconstruction",
            [test, self.verified(host, teacher), *(f for c in cells for f in self.sae_files(host, teacher, *c))],
            {
                "test": test,
                "saes": {c: self.sae(host, teacher, *c) for c in cells},
                "out": self.sums(host, teacher, "reconstruction"),
            },
            {},
        )

    def evaluate_downstream(self, host: str, teacher: str) -> Job:
        """Delta CE, loss recovered, KL of all SAEs of a pair."""
        model, cells, address = self.host_place(host), self.cells(host, teacher), self.address(host, teacher)
        tokens, calibration = self.token_file(address, "test"), self.activations(address, "calibration")
        return Job(
            "evaluate_downstream",
            [
                tokens,
                calibration,
                self.verified(host, teacher),
                *model.inputs,
                *(f for c in cells for f in self.sae_files(host, teacher, *c)),
            ],
            {
                "token_file": tokens,
                "host": model.path,
                "calibration": calibration,
                "saes": {c: self.sae(host, teacher, *c) for c in cells},
                "out": self.sums(host, teacher, "downstream"),
            },
            self._opening(address),
        )

    def probe(self, host: str, teacher: str) -> Job:
        """Sparse probes of all SAEs of a pair, trained on fine-tuning documents, judged on test documents."""
        entry, cells, model = self.host(host), self.cells(host, teacher), self.host_place(host)
        text = load_text(entry.text or self.suite.text)
        texts = [self.text_folder(entry.text) / f"{s}.jsonl" for s in ("finetune", "test")]
        activations = [self.read(host, teacher, s) for s in ("finetune", "test")]
        return Job(
            "probe",
            [*texts, *activations, *model.inputs, *(f for c in cells for f in self.sae_files(host, teacher, *c))],
            {
                **dict(zip(("train_text", "test_text", "train", "test"), texts + activations, strict=True)),
                "host": model.path,
                "saes": {c: self.sae(host, teacher, *c) for c in cells},
                "out": self.sums(host, teacher, "probe"),
            },
            {
                "packages": text.packages if isinstance(text, Docstrings) else [],
                "most": PROBED,
                "seed": derive_seed(self.suite.seed, "probe", host),
            },
        )

    def probe_text(self, host: str, teacher: str, name: str) -> Job:
        """Sparse probes of all SAEs of a pair on the classes of a labelled text.

        Raises:
            ValueError: the suite does not list it, or it has no labels; said before anything is run.
        """
        _pick("text", name, dict.fromkeys(self.suite.probed_texts))
        text = load_text(name)
        if isinstance(text, Docstrings) or text.label is None:
            raise ValueError(f"text {name!r} is probed and has no labels; set `label` in config/text/{name}.yaml")
        cells, model, address = self.cells(host, teacher), self.host_place(host), self.address(host, teacher)
        texts = [self.text_folder(name) / f"{s}.jsonl" for s in ("finetune", "test")]
        return Job(
            "probe_text",
            [*texts, *model.inputs, *(f for c in cells for f in self.sae_files(host, teacher, *c))],
            {
                **dict(zip(("train_text", "test_text"), texts, strict=True)),
                "host": model.path,
                "saes": {c: self.sae(host, teacher, *c) for c in cells},
                "out": self.sums(host, teacher, f"probe_{name}"),
            },
            {
                **self._opening(address),
                "ctx": min(self.site(address).ctx, EXAMPLE),
                "bos": self.site(address).bos,
                "name": name,
                "most": PROBED,
                "seed": derive_seed(self.suite.seed, "probe", host),
            },
        )

    def tabulate_probing(self, name: str | None = None) -> Job:
        """Sparse probes of all pairs to a table; those on the labelled text ``name``, or on the suite's own."""
        job = self.tabulate()
        kept = {k: v for k, v in job.settings.items() if k in ("suite", "seeds")}
        probe = "probe" if name is None else f"probe_{name}"
        sums = {(h, t): {j: self.sums(h, t, j) for j in (*JUDGEMENTS, probe)} for h, t in self.runnable()}
        inputs = [f for files in sums.values() for f in files.values()]
        return Job("tabulate_probing", inputs, {"sums": sums, "out": self.root / "tables"}, kept | {"name": name})

    def anatomy(self, host: str, teacher: str) -> Job:
        """The support rule in full, of all SAEs of a pair."""
        job = self.evaluate_reconstruction(host, teacher)
        return job._replace(stage="anatomy", arguments=job.arguments | {"out": self.sums(host, teacher, "anatomy")})

    def tabulate_anatomy(self) -> Job:
        """Anatomy of all pairs to a table and a figure."""
        files = {(h, t): self.sums(h, t, "anatomy") for h, t in self.runnable()}
        return Job("tabulate_anatomy", list(files.values()), {"files": files, "out": self.root / "tables"}, {})

    def tabulate_convergence(self) -> Job:
        """Whether further training helps the teachers, by the trials of their controls."""
        tuned = [(h, t) for h, t in self.runnable() if "teacher_ft" in self.teacher(h, t).grids]
        trials = {f"{h}/{t}": self.tuning_file(h, t, "teacher_ft") for h, t in tuned}
        inputs = [path for path in trials.values() if path]
        return Job("tabulate_convergence", inputs, {"trials": trials, "out": self.root / "tables"}, {})

    def grouped(self, by: Literal["front", "family"]) -> dict[str, list[str]]:
        """{HOST/GROUP: teachers}: one SAE at several sparsities, or trainings of one recipe."""
        found: dict[str, list[str]] = {}
        for h, t in self.pairs():
            group = getattr(self.teacher(h, t), by)
            if group is not None and f"{h}/{t}" not in self.not_run():
                found.setdefault(f"{h}/{group}", []).append(t)
        return found

    def tabulate_pareto(self) -> Job:
        """Fronts of error against l0, and arms compared at one l0."""
        fronts = self.grouped("front")
        pairs = [(name.split("/")[0], t) for name, members in fronts.items() for t in members]
        sums = {pair: self.judged(*pair) for pair in pairs}
        seeds = {f"{h}/{t}": derive_seed(self.suite.seed, "bootstrap", h) for h, t in pairs}
        inputs = [f for files in sums.values() for f in files.values()]
        arguments = {"sums": sums, "out": self.root / "tables"}
        return Job("tabulate_pareto", inputs, arguments, {"fronts": fronts, "seeds": seeds})

    def judged_too(self) -> list[str]:
        """Judgements of a pair that claims read where the suite has them."""
        return ["probe"] if "probing" in self.suite.extras else []

    def extra_tables(self) -> list[Path]:
        """Tables and figures that only some suites have."""
        files = [f for extra in self.suite.extras for f in EXTRA_TABLES[extra]]
        files += [f"probing_{name}.{kind}" for name in self.suite.probed_texts for kind in ("csv", "md")]
        files += PARETO if self.grouped("front") else []
        return [self.root / "tables" / f for f in files]

    def features_file(self, host: str, teacher: str) -> Path:
        """What the report draws of a pair's features."""
        return self.root / host / teacher / "features.json"

    def examine(self, host: str, teacher: str) -> Job:
        """Gates, densities, stability and contexts of the features of every arm, with the suite's first seed."""
        model, address = self.host_place(host), self.address(host, teacher)
        tokens, test = self.token_file(address, "test"), self.read(host, teacher, "test")
        arms = [a for a, s in self.cells(host, teacher) if s in (0, self.suite.seeds[0])]
        seeds = {a: self.suite.seeds[0] if self.arm(host, teacher, a).tuned else 0 for a in dict.fromkeys(arms)}
        return Job(
            "examine",
            [tokens, test, *model.inputs, *(f for c in seeds.items() for f in self.sae_files(host, teacher, *c))],
            {
                "token_file": tokens,
                "host": model.path,
                "test": test,
                "saes": {a: self.sae(host, teacher, a, s) for a, s in seeds.items()},
                "out": self.features_file(host, teacher),
            },
            {"viewed": [a for a in seeds if self.arm(host, teacher, a).tuned]},
        )

    # what can be done: of a suite with checkpoints of a hub, the preflight says

    @cached_property
    def from_hub(self) -> bool:
        """Whether anything of the suite has to be fetched."""
        hosts = {h for h, _ in self.pairs()}
        texts = [load_text(self.suite.hosts[h].text or self.suite.text) for h in hosts]
        sources = [self.host_source(h) for h in hosts] + [self.teacher_source(h, t) for h, t in self.pairs()]
        return any(sources) or any(isinstance(text, HubText) for text in texts)

    def preflight_file(self) -> Path:
        """Verdict of the preflight."""
        return self.root / "preflight.json"

    def not_run(self) -> dict[str, str]:
        """{HOST/TEACHER: reason} of the pairs that the last preflight let nobody run."""
        if not self.from_hub or not self.preflight_file().is_file():
            return {}
        return json.loads(self.preflight_file().read_text())["not_run"]

    def runnable(self, preflight: Callable[[], object] = lambda: None) -> list[tuple[str, str]]:
        """Pairs that are run; ``preflight`` is called first, for Snakemake waits for it there."""
        if self.from_hub:
            preflight()
        return [(h, t) for h, t in self.pairs() if f"{h}/{t}" not in self.not_run()]

    def preflight(self) -> Job:
        """Tokens, disk, memory and time per pair; what is missing and what will not fit."""
        hosts = {
            h: {
                "source": self.host_source(h),
                "path": None if entry.path is None else str(entry.path),
                "size": entry.size and entry.size.model_dump(),
                "dtype": entry.dtype,
                "tokens": {s: self.suite.tokens(h)[s] for s in self.splits(h)},
                "text": _hub_text(entry.text or self.suite.text, self.lock),
            }
            for h, entry in self.suite.hosts.items()
        }
        pairs = {
            f"{h}/{t}": {
                "host": h,
                "address": self.address(h, t),
                "ctx": self.site(self.address(h, t)).ctx,
                "source": self.teacher_source(h, t),
                "d_sae": self.teacher(h, t).d_sae,
                "n_sae": len(self.cells(h, t)),
                "n_tuned": sum(self.arm(h, t, a).tuned for a, _ in self.cells(h, t)),
            }
            for h, t in self.pairs()
        }
        budget = self.suite.finetune.model_dump(include={"steps", "batch"})
        settings = {"suite": self.suite.smoke_of or self.name, "hosts": hosts, "pairs": pairs, **budget}
        return Job("preflight", [], {"out": self.preflight_file()}, settings)

    def memory_mb(self, address: str) -> int:
        """MB of main memory to ask a cluster for: of a host's largest job, as far as the config says its shapes."""
        host = address.partition("/")[0]
        shapes = [self._shape(h, t) for h, t in self.pairs() if h == host]
        return LIBRARIES_MB + max((shape.memory for shape in shapes if shape), default=0) // 10**6

    def _shape(self, host: str, teacher: str) -> Shape | None:
        """Of a pair whose config says all of it, without a look at files; None for any other."""
        entry, d_sae, cells = self.host(host), self.teacher(host, teacher).d_sae, self.cells(host, teacher)
        if entry.size is None or d_sae is None:
            return None
        return Shape(
            **entry.size.model_dump(exclude={"d_model"}),
            d_in=entry.size.d_model,
            d_sae=d_sae,
            ctx=self.site(self.address(host, teacher)).ctx,
            bytes_per_number=BYTES[entry.dtype],
            tokens=self.suite.tokens(host),
            n_sae=len(cells),
            n_tuned=sum(self.arm(host, teacher, arm).tuned for arm, _ in cells),
            steps=self.suite.finetune.steps,
            batch=self.suite.finetune.batch,
        )

    def preflight_made_by(self) -> str:
        """Its fingerprint; never the same twice while a pair is not run, for the reason may have gone."""
        return self.preflight().fingerprint + (f" again={time.time_ns()}" if self.not_run() else "")

    def fetch_all(self) -> Job:
        """Everything of a hub that the suite needs, and the lock file that pins it."""
        pairs = self.pairs()
        hosts = list(dict.fromkeys(h for h, _ in pairs))
        texts = {str(t): t for h in hosts if (t := load_text(self.host(h).text or self.suite.text))}
        # what the configuration says, not what an older lock file says
        fresh = Plan(self.name, self.suite, self.results)
        fresh.lock = Lock({})
        sources = [fresh.host_source(h) for h in hosts] + [fresh.teacher_source(h, t) for h, t in pairs]
        return Job(
            "fetch_all",
            [],
            {"out": CONFIG / f"{self.suite.smoke_of or self.name}.lock.yaml"},
            {
                "suite": self.name,
                "sources": [s for s in sources if s],
                "datasets": {t.name: t.revision for t in texts.values() if isinstance(t, HubText)},
            },
        )

    def tabulate(self, preflight: Callable[[], object] = lambda: None) -> Job:
        """Per-document sums to cells and tables."""
        pairs = self.runnable(preflight)
        sums = {(h, t): {j: self.sums(h, t, j) for j in (*JUDGEMENTS, *self.judged_too())} for h, t in pairs}
        saes = {
            (h, t, a, s): (self.sae(h, t, a, s), self.training(h, t, a, s) if self.arm(h, t, a).tuned else None)
            for h, t in pairs
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
                "seeds": {f"{h}/{t}": derive_seed(self.suite.seed, "bootstrap", h) for h, t in pairs},
                "not_run": self.not_run(),
            },
        )

    def compare_reported(self) -> Job:
        """The source's numbers beside the suite's."""
        cells, source = self.cells_file(), CONFIG / "reported.yaml"
        return Job(
            "compare_reported", [cells, source], {"cells": cells, "source": source, "out": self.reported_file()}, {}
        )

    def reported_file(self) -> Path:
        """The table of it."""
        return self.root / "tables" / "reported.md"

    def benchmarks(self) -> list[Path]:
        """Time and memory of every job of the suite that Snakemake measures."""
        found = ["tables", *self.texts()]
        for address, h in self.addresses().items():
            found += [f"{stage}/{address}/{split}" for stage in ("tokens", "harvest") for split in self.splits(h)]
        for h, t in self.pairs():
            stages = ("import_teacher", "verify_teacher", "evaluate_reconstruction", "evaluate_downstream")
            stages += (*self.judged_too(), *(["anatomy"] if "anatomy" in self.suite.extras else []))
            found += [f"{stage}/{h}/{t}" for stage in stages]
            found += [f"tune_arm/{h}/{t}-{a}" for a in self.teacher(h, t).grids]
            for a in dict.fromkeys(a for a, _ in self.cells(h, t) if a != "teacher"):
                found.append(f"{'finetune' if self.arm(h, t, a).tuned else 'init'}/{h}/{t}-{a}")
        return [self.results / "benchmarks" / self.name / f"{name}.tsv" for name in found]

    def texts(self) -> dict[str, Path]:
        """Folders of the texts that are read, by their place below the suite's."""
        names = dict.fromkeys(self.host(h).text for h, _ in self.runnable())
        return {f"text/{name}" if name else "text": self.text_folder(name) for name in names}

    def splits(self, host: str) -> list[str]:
        """The splits of a host that its tables need: ``tuning`` only where arms are tuned for themselves."""
        tuned = any(teacher.grids for teacher in self.host(host).teachers.values())
        return [s for s in self.host(host).tokens if tuned or s != "tuning"]

    def run_card(self) -> Job:
        """The conditions under which the tables were made."""
        return Job(
            "run_card",
            self.tables(),
            {
                "tables": self.tables(),
                "benchmarks": self.benchmarks(),
                "reports": [
                    self.training(h, t, a, s)
                    for h, t in self.runnable()
                    for a, s in self.cells(h, t)
                    if self.arm(h, t, a).tuned
                ],
                "text_manifests": {name: folder / "manifest.json" for name, folder in self.texts().items()},
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

    def report(self, preflight: Callable[[], object] = lambda: None) -> Job:
        """The suite's page, with its figures and tables."""
        features = {(h, t): self.features_file(h, t) for h, t in self.runnable(preflight)}
        tables = [*self.printed(), *([self.reported_file()] if self.suite.reported else [])]
        run_card = self.run_card().arguments["out"]
        # studies of their own and figures that only some suites have: shown where somebody made them
        atlas = sorted((self.results / "gates" / "atlas").glob("*.svg"))
        planned = [path for path in self.extra_tables() if path.suffix == ".svg"]
        fronts = sorted({*planned, *(self.root / "tables").glob("*.svg")})
        return Job(
            "report",
            [*tables, self.cells_file(), *features.values(), run_card, *atlas, *fronts],
            {
                "tables": sorted(tables, key=lambda path: _place(path.stem)),
                "cells": self.cells_file(),
                "features": features,
                "run_card": run_card,
                "atlas": atlas,
                "fronts": fronts,
                "out": self.root,
            },
            {"suite": self.name, "not_run": self.not_run()},
        )

    def targets(self, host: str | None = None, preflight: Callable[[], object] = lambda: None) -> list[Path]:
        """What a suite or one host of it produces."""
        if host is None:
            reported = [self.reported_file()] if self.suite.reported else []
            return [*self.tables(), *reported, *self.extra_tables(), self.root / "run-card.json"]
        self.host(host)
        return [self.sums(h, t, j) for h, t in self.runnable(preflight) if h == host for j in JUDGEMENTS]


def _place(table: str) -> tuple[int, str]:
    """Claims first, what was measured last, everything else between."""
    order = {"claims": 0, "strict": 1, "win_loss": 2, "reconstruction": 4, "downstream": 5}
    return order.get(table, 3), table


def load_text(text: Text) -> Docstrings | FileText | HubText:
    """An entry as it is, or the one in ``config/text`` that a name means."""
    if not isinstance(text, str):
        return text
    path = CONFIG / "text" / f"{text}.yaml"
    entry = config.load(path, TextFile, under="text").text
    if isinstance(entry, str):
        raise ValueError(f"{path}: expected keys and values, found the name {entry!r}")
    return entry


def _text_job(text: Text, splits: Sequence[str], out: Path, lock: Lock) -> Job:
    entry = load_text(text)
    settings = {**entry.model_dump(mode="json"), "splits": list(splits)}
    if isinstance(entry, HubText):
        settings["revision"] = lock.commit(entry.name) or entry.revision
    return Job("text", [entry.path] if isinstance(entry, FileText) else [], {"out": out}, settings)


def _hub_text(text: Text, lock: Lock) -> dict[str, str] | None:
    entry = load_text(text)
    if not isinstance(entry, HubText):
        return None
    return {"repo": entry.name, "revision": lock.commit(entry.name) or entry.revision}


def fit_path(results: Path, fit: dict[str, Any]) -> Path:
    """Where the record of a fit lies: its design problem is its name."""
    p, q = fit["degree"]
    where = [fit["target"], *(f"{k}-{fit[k]:g}" for k in ("theta", "delta") if fit[k] is not None)]
    return results / "gates" / "_".join(where) / f"{p}-{q}.json"


def _pick(what: str, name: str, known: Mapping[str, Any]) -> Any:
    if name not in known:
        raise ValueError(f"no {what} {name!r} in this suite; there are {', '.join(known)}")
    return known[name]


def load_plans(folder: Path | str = CONFIG / "suites", results: Path = Path("results")) -> dict[str, Plan]:
    """One plan per suite file."""
    return {name: Plan(name, suite, results) for name, suite in config.load_suites(folder).items()}


def stage_digest(stage: str) -> str:
    """Fingerprint of a stage whose settings stand in its file name."""
    return f"code={code_digest(f'rsae.stages.{stage}')} lock={lock_digest()}"


class AssetsPlan:
    """How the committed host and teachers are trained again, into ``results/assets``."""

    def __init__(self, recipe: config.Assets, results: Path = Path("results")) -> None:
        self.recipe, self.root = recipe, results / "assets"

    def text_files(self) -> list[Path]:
        """Documents of every split, for deduplication runs across all of them."""
        return [self.root / "text" / f"{s}.jsonl" for s in SPLITS]

    def text(self) -> Job:
        """Docstrings to documents, all splits."""
        return _text_job(self.recipe.text, SPLITS, self.root / "text", Lock({}))

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


class MoreTeachersPlan:
    """Teachers beside the committed ones: the same host, text and recipes but for what differs."""

    COMMITTED = Path("assets/embedded")

    def __init__(self, recipe: config.MoreTeachers, assets: AssetsPlan, results: Path = Path("results")) -> None:
        self.recipe, self.assets, self.root = recipe, assets, results / "teachers"

    def activations(self, split: str) -> Job:
        """What the teachers are trained or judged on, through the committed host."""
        job, host = self.assets.activations(split), self.COMMITTED / "host"
        text = job.arguments["text"]
        arguments = {"text": text, "host": host, "out": self.root / "activations" / split}
        return job._replace(inputs=[text, *(host / f for f in HOST_FILES)], arguments=arguments)

    def teacher(self, name: str) -> Job:
        """One SAE: by sae_lens's trainer, or by spoiling a committed one."""
        entry, out = _pick("teacher", name, self.recipe.teachers), self.root / name
        if entry.scatter is not None:
            teacher = self.COMMITTED / "teachers" / entry.like
            settings = {"scatter": entry.scatter, "seed": entry.seed}
            inputs = [teacher / f for f in SAE_FILES]
            return Job("scatter_thresholds", inputs, {"teacher": teacher, "out": out}, settings)
        job = self.assets.teacher(entry.like)
        train, validation = (self.root / "activations" / s for s in ("teacher_train", "tuning"))
        differs = {"seed": entry.seed, "options": job.settings["options"] | entry.options}
        differs |= {} if entry.steps is None else {"steps": entry.steps}
        arguments = {"activations": train, "validation": validation, "out": out}
        return Job("train_teacher", [train, validation], arguments, job.settings | differs)

    def files(self) -> list[Path]:
        """Every file of every teacher."""
        return [self.root / t / f for t in self.recipe.teachers for f in (*SAE_FILES, "card.json")]


class FamiliesPlan:
    """Independent trainings of one recipe, judged together: teachers of several suites with one word as `family`."""

    def __init__(self, families: config.Families, plans: Mapping[str, Plan], results: Path = Path("results")) -> None:
        self.plans, self.root = [_pick("suite", name, plans) for name in families.suites], results / "families"

    def tabulate(self) -> Job:
        """``families.csv`` and ``families.md``."""
        sums: dict[str, dict[str, dict[str, Path]]] = {}
        for plan in self.plans:
            for group, teachers in plan.grouped("family").items():
                host, _, family = group.partition("/")
                for teacher in teachers:
                    members = sums.setdefault(family, {})
                    if teacher in members:
                        raise ValueError(f"family {family!r} has two teachers with the name {teacher!r}")
                    members[teacher] = plan.judged(host, teacher)
        inputs = [f for members in sums.values() for files in members.values() for f in files.values()]
        seed = derive_seed(*(plan.suite.seed for plan in self.plans), "bootstrap")
        return Job("tabulate_families", inputs, {"sums": sums, "out": self.root}, {"seed": seed})

    def files(self) -> list[Path]:
        """The tables."""
        return [self.root / name for name in ("families.csv", "families.md")]


def load_families_plan(results: Path = Path("results")) -> FamiliesPlan:
    """The plan of ``config/families.yaml``."""
    pooled = config.load(CONFIG / "families.yaml", config.Families)
    return FamiliesPlan(pooled, load_plans(results=results), results)


def load_more_teachers_plan(results: Path = Path("results")) -> MoreTeachersPlan:
    """The plan of ``config/teachers.yaml``."""
    recipe = config.load(CONFIG / "teachers.yaml", config.MoreTeachers)
    return MoreTeachersPlan(recipe, load_assets_plan(results), results)


def load_assets_plan(results: Path = Path("results")) -> AssetsPlan:
    """The plan of ``config/embedded_assets.yaml``."""
    return AssetsPlan(config.load(CONFIG / "embedded_assets.yaml", config.Assets), results)
