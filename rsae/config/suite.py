"""Typed configuration: every key is known, every mistake names its file, its key and the remedy."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from rsae.config.sources import Site, Size, Source, TeacherSource, Text
from rsae.config.types import EVALUATED, Kind, Name, Objective, Positive, Precision, Rate, Share, Strict, near


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
    def _listed_arms(self) -> "Teacher":
        sizes = {name: len(g.l1_coefficient) * len(g.lr) for name, g in self.grids.items()}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"`grids` must give every arm equally many settings, got {sizes}")
        for name in self.grids:
            if name not in self.arms:
                raise ValueError(f"`grids` names {name!r}, which is not among `arms`{near(name, self.arms)}")
        if self.grids and "teacher_ft" in self.arms and "teacher_ft" not in self.grids:
            raise ValueError("`grids` tunes arms and not their control; add 'teacher_ft' to it, or leave `grids` out")
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
                    f"teacher {name!r} names the unknown site {teacher.site!r}{near(teacher.site, self.sites)}"
                )
        return self

    @model_validator(mode="after")
    def _all_splits(self) -> "Host":
        if set(self.tokens) != set(EVALUATED):
            raise ValueError(f"`tokens` must name exactly the splits {', '.join(EVALUATED)}")
        for split in self.max_rows_per_document:
            if split not in EVALUATED:
                raise ValueError(f"`max_rows_per_document` names the unknown split {split!r}{near(split, EVALUATED)}")
        return self


class Finetune(Strict):
    """What is the same for all arms of a suite."""

    steps: Positive
    batch: Positive
    slow_lr: Rate = 1e-4
    decay_share: Share = 0.2
    reuse: bool = True  # false: steps · batch distinct tokens are cached, and none is seen twice
    objective: Objective = "paper"  # of arms that do not bring their own
    precision: Precision = "fp32"  # of matrix products on a GPU; see rsae.runtime.precision
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
    smoke_of: Name | None = None  # the suite whose lock file stands for this one's; see Smoke
    hosts: dict[Name, Host] = Field(min_length=1)

    def tokens(self, host: str) -> dict[str, int]:
        """Tokens per split."""
        tokens = dict(self.hosts[host].tokens)
        return tokens if self.finetune.reuse else tokens | {"finetune": self.finetune.steps * self.finetune.batch}
