"""Typed configuration: every key is known, every mistake names its file, its key and the remedy."""

import difflib
import re
import reprlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from rsae.arms import Kind, Objective, Precision, arms
from rsae.sources import Site, Size, Source, TeacherSource, Text
from rsae.strict import NAME, Name, Positive, Rate, Share, Strict

# what the main job reads; the other splits only ever trained the committed host and teachers
EVALUATED = ("test", "threshold", "tuning", "calibration", "finetune")

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


class Tuning(Strict):
    """The values that are tried on the ``tuning`` documents for a teacher, all combinations."""

    l1_coefficient: list[Annotated[float, Field(ge=0)]] = Field(min_length=1)
    lr: list[Rate] = Field(min_length=1)


class Variant(Strict):
    """An arm under another name, with settings of its own; what is left out is the teacher's or the suite's."""

    arm: str
    l1_coefficient: Annotated[float, Field(ge=0)] | None = None
    lr: Rate | None = None
    slow_lr: Rate | None = None


class Teacher(TeacherSource):
    """One SAE to upgrade. λ and learning rate are those of all its arms but the variants that say otherwise."""

    enabled: bool = True  # false: offered, but part of no target
    site: Name | None = None  # None: the host's own
    kind: Kind
    l1_coefficient: Annotated[float, Field(ge=0)]
    lr: Rate
    bandwidth: Rate = 0.05  # of the straight-through estimate of JumpReLU thresholds
    l0: Rate | None = None  # features per token at which everything starts; None: the teacher's own
    family: Name | None = None  # the same word: independent trainings of one recipe (config/families.yaml)
    front: Name | None = None  # teachers of one host with the same word are one SAE at several sparsities
    tuning: Tuning | None = None
    # arms that are tuned for themselves; if teacher_ft is among them, the others follow it in the learning rate
    grids: dict[str, Tuning] = Field({})
    variants: dict[Annotated[str, Field(pattern=r"^\w{1,99}$")], Variant] = Field({})
    # in the order of the tables; variants are listed like arms
    arms: list[str] = Field(["teacher", "teacher_ft", "rsae_init", "rsae"], min_length=1)

    def definition(self, name: str) -> str:
        """The declared arm behind a name in ``arms``."""
        return self.variants[name].arm if name in self.variants else name

    @model_validator(mode="after")
    def _known_arms(self) -> "Teacher":
        known = arms(self.kind)
        sizes = {name: len(g.l1_coefficient) * len(g.lr) for name, g in self.grids.items()}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"`grids` must give every arm equally many settings, got {sizes}")
        for name in self.grids:
            if name not in self.arms:
                raise ValueError(f"`grids` names {name!r}, which is not among `arms`{_near(name, self.arms)}")
        if self.grids and "teacher_ft" in self.arms and "teacher_ft" not in self.grids:
            raise ValueError("`grids` tunes arms and not their control; add 'teacher_ft' to it, or leave `grids` out")
        for name in self.variants:
            if name in known:
                raise ValueError(f"the variant {name!r} has the name of an arm; call it something else")
        for name in self.arms:
            definition = self.definition(name)
            if definition not in known:
                raise ValueError(f"unknown arm {definition!r} for a {self.kind} teacher{_near(definition, known)}")
            start = known[definition].start
            if start is not None and start not in self.arms:
                raise ValueError(f"arm {name!r} starts from {start!r}; add it to `arms`")
        if "teacher" not in self.arms:
            raise ValueError("`arms` must contain 'teacher': the others are compared with it")
        return self


class Host(Source):
    """One language model, opened at one residual site, or at several with names."""

    hook: str | None = None
    ctx: Positive | None = None
    bos: bool | None = None
    center_writing_weights: bool = False
    sites: dict[Name, Site] = Field({})
    text: Name | None = None  # None: the suite's
    size: Size | None = None
    dtype: Annotated[str, Field(pattern="^(float16|float32)$")] = "float16"
    n_shards: Positive = 8
    tokens: dict[str, Positive]  # per split
    max_rows_per_document: dict[str, Positive] = Field({})
    teachers: dict[Name, Teacher] = Field(min_length=1)

    def site(self, name: str | None) -> Site:
        """The site of that name, or the host's own."""
        if name is not None:
            return self.sites[name]
        return Site.model_validate(self.model_dump(include=set(Site.model_fields)))

    @model_validator(mode="after")
    def _known_sites(self) -> "Host":
        own = [getattr(self, k) is not None for k in ("hook", "ctx", "bos")]
        if any(own) != all(own) or not (all(own) or self.sites):
            raise ValueError("`hook`, `ctx` and `bos` go together; or name places under `sites`")
        for name, teacher in self.teachers.items():
            if teacher.site is None and not all(own):
                raise ValueError(f"teacher {name!r} needs a `site`: one of {', '.join(self.sites)}")
            if teacher.site is not None and teacher.site not in self.sites:
                raise ValueError(
                    f"teacher {name!r} names the unknown site {teacher.site!r}{_near(teacher.site, self.sites)}"
                )
        return self

    @model_validator(mode="after")
    def _all_splits(self) -> "Host":
        if set(self.tokens) != set(EVALUATED):
            raise ValueError(f"`tokens` must name exactly the splits {', '.join(EVALUATED)}")
        for split in self.max_rows_per_document:
            if split not in EVALUATED:
                raise ValueError(f"`max_rows_per_document` names the unknown split {split!r}{_near(split, EVALUATED)}")
        return self


class Finetune(Strict):
    """What is the same for all arms of a suite."""

    steps: Positive
    batch: Positive
    slow_lr: Rate = 1e-4
    decay_share: Share = 0.2
    reuse: bool = True  # false: steps · batch distinct tokens are cached, and none is seen twice
    objective: Objective = "paper"  # of arms that do not bring their own
    precision: Precision = "fp32"  # of matrix products on a GPU; see rsae.precision
    pool_gib: Positive = 8  # of activations in memory: where all fit they are read once, else in chapters of half of it
    together: bool = False  # one job for all arms of a pair, which read them once; a change of one trains all again


class Gate(Strict):
    """The design problem of jumps: theta in units of the design interval, the gap's half width."""

    theta: Annotated[float, Field(gt=0, lt=1)] = 0.1
    delta: Annotated[float, Field(gt=0, lt=1)] = 0.02
    tail: bool = False  # clamp to the design interval, identity beyond it; ours, not the paper's


Extra = Literal["probing", "anatomy", "convergence"]


class Suite(Strict):
    """A set of (host, teacher) pairs that share seeds, text and budget."""

    seed: int = 1
    seeds: list[Annotated[int, Field(ge=0)]] = Field([0, 1, 2], min_length=1)
    text: Text  # a file in config/text, or an entry as it would stand there
    gate: Gate = Gate()
    finetune: Finetune
    reported: bool = False  # its tables stand beside config/reported.yaml
    extras: list[Extra] = Field([])  # judgements beyond the tables that every suite has
    probed_texts: list[Name] = Field([])  # labelled texts in config/text, whose classes are probed for
    smoke_of: Name | None = None
    hosts: dict[Name, Host] = Field(min_length=1)

    def tokens(self, host: str) -> dict[str, int]:
        """Tokens per split."""
        tokens = dict(self.hosts[host].tokens)
        return tokens if self.finetune.reuse else tokens | {"finetune": self.finetune.steps * self.finetune.batch}


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


class HostRecipe(Strict):
    """How the embedded host is trained."""

    d_model: Positive
    n_layer: Positive
    n_head: Positive
    vocab: Positive
    ctx: Positive
    steps: Positive
    batch: Positive
    lr: Rate
    weight_decay: Annotated[float, Field(ge=0)]
    autocast: bool


class TeacherRecipe(Strict):
    """How one embedded teacher is trained; ``options`` go to sae_lens's training config."""

    kind: Kind
    steps: Positive
    options: dict[str, Any]


class TeacherTraining(Strict):
    """What the embedded teachers share."""

    hook: str
    d_sae: Positive
    batch: Positive
    lr: Rate
    warm_up: Positive
    decay: Positive
    n_shards: Positive


class Assets(Strict):
    """Recipes of the committed host and teachers."""

    seed: int
    text: Name
    host: HostRecipe
    training: TeacherTraining
    teachers: dict[Name, TeacherRecipe]


class AnotherTeacher(Strict):
    """What differs from the recipe of the committed teacher ``like``."""

    like: Name
    seed: int
    steps: Positive | None = None
    options: dict[str, Any] = Field({})
    scatter: Rate | None = None  # not trained at all: the committed teacher, its thresholds times exp(scatter · z)
    stress: str | None = None  # what is wrong with it, on purpose


class MoreTeachers(Strict):
    """Teachers beside the committed ones, trained by a target."""

    teachers: dict[Name, AnotherTeacher]


class Families(Strict):
    """Suites whose teachers with one word as ``family`` are judged together."""

    suites: list[Name] = Field(min_length=1)


Model = TypeVar("Model", bound=Strict)


def load(path: Path | str, model: type[Model], under: str | None = None) -> Model:
    """Read a YAML file into ``model``; with ``under``, as the value of that one key of it.

    Raises:
        ValueError: one line per mistake, with the file, the key, what was expected, and the
            nearest known key where one was misspelt.
    """
    try:
        raw = yaml.load(Path(path).read_text(), _UniqueKeys)
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such configuration file") from error
    except PermissionError:
        raise
    except Exception as error:  # of yaml, of its decoder, of Python's numbers and dates, of too deep a nesting
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise ValueError(f"{path}: expected keys and values, found {type(raw).__name__}")
    try:
        return model.model_validate(raw if under is None else {under: raw})
    except ValidationError as error:
        known = _all_keys(model)
        raise ValueError("\n".join(_sentence(path, e, known) for e in error.errors())) from None


class _UniqueKeys(yaml.SafeLoader):
    """YAML lets the last of two equal keys win, silently: a mistake here. What `<<` merges may be overruled."""

    def get_single_node(self) -> Any:
        """The document, looked through before any merge is carried out."""
        node = super().get_single_node()
        self._check(node, set())
        return node

    def _check(self, node: Any, seen: set[int]) -> None:
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):
            return
        seen.add(id(node))  # an alias leads to the node that it names, or round in a circle
        if isinstance(node, yaml.MappingNode):
            keys = [key.value for key, _ in node.value]
            twice = next((key for i, key in enumerate(keys) if key in keys[:i]), None)
            if twice is not None:
                raise yaml.constructor.ConstructorError(None, None, f"key `{twice}` stands here twice", node.start_mark)
        for child in (value for pair in node.value for value in (pair if isinstance(pair, tuple) else (pair,))):
            self._check(child, seen)


def _sentence(path: Path | str, error: Any, known: set[str]) -> str:
    key = ".".join(map(str, error["loc"])) or "(top level)"
    if error["type"] == "extra_forbidden":
        return f"{path}: unknown key `{key}`{_near(str(error['loc'][-1]), known, 'config/README.md lists the keys')}"
    if error["type"] == "missing":
        return f"{path}: key `{key}` is missing"
    message = error["msg"].removeprefix("Value error, ")
    return f"{path}: `{key}`: {message}" + (
        "" if error["type"] == "value_error" else f", got {reprlib.repr(error['input'])[:80]}"
    )


def _near(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """The known word that comes closest; where none does, all of them, or what is to be said instead."""
    close = difflib.get_close_matches(word, sorted(known), n=1)
    return "; " + (f"did you mean {close[0]!r}?" if close else otherwise or f"known are {', '.join(sorted(known))}")


def _all_keys(model: type[BaseModel]) -> set[str]:
    """Field names of a model and of every model nested in it."""
    keys, todo = set(), [model]
    while todo:
        for name, field in todo.pop().model_fields.items():
            keys.add(name)
            todo += _models_in(field.annotation)
    return keys


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


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
                raise ValueError(f"{folder}/{name}.yaml: no suite {entry.smoke_of!r}{_near(entry.smoke_of, whole)}")
            whole[name] = entry.cut_down(whole[entry.smoke_of])
    return {name: whole[name] for name in loaded}


def _not_reserved(folder: Path | str, suite: str, what: str, name: str) -> None:
    if name in RESERVED[what]:
        raise ValueError(
            f"{folder}/{suite}.yaml: a {what} cannot be called {name!r}, which is a target or a folder of the"
            f" workflow; reserved are {', '.join(sorted(RESERVED[what]))}"
        )
