"""The vocabulary of the configuration: models that refuse unknown keys, and a few kinds of values."""

import difflib
from collections.abc import Iterable
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]
# of what becomes a folder of results: one component, never `..`, short enough for any file system
NAME = "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
Name = Annotated[str, Field(pattern=NAME)]

Kind = Literal["relu", "jumprelu", "topk"]  # of a teacher's gate
KINDS: tuple[Kind, ...] = get_args(Kind)
Objective = Literal["paper", "weighed", "own", "error"]  # see rsae.training.objectives
Precision = Literal["fp32", "tf32", "bf16"]  # see rsae.runtime.precision
By = Literal["token", "feature"]  # what processes of one training divide; see rsae.training.parallel
ALL_PARAMETERS = ("W_", "b_", "gate.", "refine.")  # of an SAE, by the beginnings of their names

# what the main job reads; the other splits only ever trained the committed host and teachers
EVALUATED = ("test", "threshold", "tuning", "calibration", "finetune")


class Strict(BaseModel):
    """Unknown keys are errors; values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def near(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """The known word that comes closest; where none does, all of them, or what is to be said instead."""
    close = difflib.get_close_matches(word, sorted(known), n=1)
    return "; " + (f"did you mean {close[0]!r}?" if close else otherwise or f"known are {', '.join(sorted(known))}")
