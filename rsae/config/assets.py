"""Recipes of what is trained here: the committed host and teachers, and teachers beside them."""

from typing import Annotated, Any

from pydantic import Field

from rsae.config.types import Kind, Name, Positive, Rate, Strict


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
