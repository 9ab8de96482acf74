"""Typed configuration: every key is known, every mistake names its file, its key and the remedy."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rsae.arms import Kind, Objective, arms

Positive = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]

# what the main job reads; the other splits only ever trained the committed host and teachers
EVALUATED = ("test", "threshold", "tuning", "calibration", "finetune")

# names that would collide with a rule, or with a folder that the workflow makes on that level
RESERVED = {
    "suite": {"all", "check", "embedded_assets", "assets", "benchmarks", "checkpoints", "gates", "logs", "theory"},
    "host": {"all", "check", "embedded_assets", "gates", "theory", "tables", "text"},
    "teacher": {"activations", "tokens"},
}


class Strict(BaseModel):
    """Unknown keys are errors; values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Text(Strict):
    """Docstrings of installed packages, shared out by module (see :mod:`rsae.docstrings`)."""

    packages: list[str] = Field(min_length=1)
    shares: dict[str, Share]


class Tuning(Strict):
    """The values that are tried on the ``tuning`` documents for a teacher, all combinations."""

    l1_coefficient: list[Annotated[float, Field(ge=0)]] = Field(min_length=1)
    lr: list[Rate] = Field(min_length=1)


class Figure(Strict):
    """A published number and how far a correctly loaded teacher may lie from it."""

    value: float
    within: Rate


class Published(Strict):
    """What the teacher gate holds a teacher to; see :class:`rsae.evaluate.verify.Figures`."""

    l0: Figure | None = None
    explained_variance: Figure | None = None
    delta_ce: Figure | None = None


class Stated(Strict):
    """What the owner of a checkpoint knows and its files do not say; see :class:`rsae.teachers.weights.Weights`."""

    k: Positive | None = None
    apply_b_dec_to_input: bool | None = None
    normalize_activations: Literal["none", "layer_norm"] | None = None
    input_scale: Rate | None = None


class Variant(Strict):
    """An arm under another name, with settings of its own; what is left out is the teacher's or the suite's."""

    arm: str
    l1_coefficient: Annotated[float, Field(ge=0)] | None = None
    lr: Rate | None = None
    slow_lr: Rate | None = None


class Teacher(Strict):
    """One SAE to upgrade. λ and learning rate are those of all its arms but the variants that say otherwise."""

    path: Path
    layout: Literal["sae_lens", "gemma_scope", "dictionary_learning"] | None = None  # None: by its files
    kind: Kind
    stated: Stated = Stated()
    published: Published = Published()
    l1_coefficient: Annotated[float, Field(ge=0)]
    lr: Rate
    bandwidth: Rate = 0.05  # of the straight-through estimate of JumpReLU thresholds
    tuning: Tuning | None = None
    # arms that are tuned for themselves; if teacher_ft is among them, the others follow it in the learning rate
    grids: dict[str, Tuning] = {}
    variants: dict[Annotated[str, Field(pattern=r"^\w+$")], Variant] = {}
    arms: list[str] = Field(min_length=1)  # in the order of the tables; variants are listed like arms

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


class Host(Strict):
    """One language model, opened at one residual site."""

    path: Path
    hook: str
    ctx: Positive
    bos: bool
    dtype: Annotated[str, Field(pattern="^(float16|float32)$")] = "float16"
    n_shards: Positive
    tokens: dict[str, Positive]  # per split
    max_rows_per_document: dict[str, Positive] = {}
    teachers: dict[Name, Teacher] = Field(min_length=1)

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
    slow_lr: Rate
    decay_share: Share
    objective: Objective = "paper"  # of arms that do not bring their own


class Gate(Strict):
    """The design problem of jumps: theta in units of the design interval, the gap's half width."""

    theta: Annotated[float, Field(gt=0, lt=1)]
    delta: Annotated[float, Field(gt=0, lt=1)]
    tail: bool = False  # clamp to the design interval, identity beyond it; ours, not the paper's


class Suite(Strict):
    """A set of (host, teacher) pairs that share seeds, text and budget."""

    seed: int
    seeds: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)
    text: Name
    gate: Gate
    finetune: Finetune
    hosts: dict[Name, Host] = Field(min_length=1)


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


Model = TypeVar("Model", bound=Strict)


def load(path: Path | str, model: type[Model]) -> Model:
    """Read a YAML file into ``model``.

    Raises:
        ValueError: one line per mistake, with the file, the key, what was expected, and the
            nearest known key where one was misspelt.
    """
    try:
        raw = yaml.load(Path(path).read_text(), _UniqueKeys)
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such configuration file") from error
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise ValueError(f"{path}: expected keys and values, found {type(raw).__name__}")
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        known = _all_keys(model)
        raise ValueError("\n".join(_sentence(path, e, known) for e in error.errors())) from None


class _UniqueKeys(yaml.SafeLoader):
    """YAML lets the last of two equal keys win, silently; here they are a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for i, key in enumerate(keys) if key in keys[:i]), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"key `{twice}` stands here twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _sentence(path: Path | str, error: Any, known: set[str]) -> str:
    key = ".".join(map(str, error["loc"])) or "(top level)"
    if error["type"] == "extra_forbidden":
        return f"{path}: unknown key `{key}`{_near(str(error['loc'][-1]), known)}"
    if error["type"] == "missing":
        return f"{path}: key `{key}` is missing"
    message = error["msg"].removeprefix("Value error, ")
    return f"{path}: `{key}`: {message}" + ("" if error["type"] == "value_error" else f", got {error['input']!r}")


def _near(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, sorted(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(sorted(known))}"


def _all_keys(model: type[BaseModel]) -> set[str]:
    """Field names of a model and of every model nested in it."""
    keys, todo = set(), [model]
    while todo:
        for name, field in todo.pop().model_fields.items():
            keys.add(name)
            candidates = [field.annotation, *getattr(field.annotation, "__args__", ())]
            todo += [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
    return keys


def load_suites(folder: Path | str) -> dict[str, Suite]:
    """Every ``*.yaml`` in ``folder`` by its stem.

    Raises:
        ValueError: a file is wrong, there is none, or two suites name the same host.
    """
    suites = {p.stem: load(p, Suite) for p in sorted(Path(folder).glob("*.yaml"))}
    if not suites:
        raise ValueError(f"{folder}: no suite (*.yaml) in there")
    owner: dict[str, str] = {}
    for suite, content in suites.items():
        _not_reserved(folder, suite, "suite", suite)
        for host in content.hosts:
            _not_reserved(folder, suite, "host", host)
            for teacher in content.hosts[host].teachers:
                _not_reserved(folder, suite, "teacher", teacher)
            if host in owner or host in suites:
                raise ValueError(
                    f"{folder}/{suite}.yaml: host name {host!r} is taken by"
                    f" {owner.get(host, 'a suite')}; host and suite names are targets, so they must differ"
                )
            owner[host] = suite
    return suites


def _not_reserved(folder: Path | str, suite: str, what: str, name: str) -> None:
    if name in RESERVED[what]:
        raise ValueError(
            f"{folder}/{suite}.yaml: a {what} cannot be called {name!r}, which is a target or a folder of the"
            f" workflow; reserved are {', '.join(sorted(RESERVED[what]))}"
        )
