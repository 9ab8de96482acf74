"""The contestants: one short file per idea, found by being here.

An arm is declared without torch, for Snakemake reads these files whenever it plans; what it does
to an SAE stands in functions that import what they need. To add one, write a file with a list
``ARMS`` and name the arm in a suite's configuration.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal, NamedTuple

from rsae.config.types import ALL_PARAMETERS, KINDS, Kind, Objective


class Design(NamedTuple):
    """The design problem of a rational gate, solved once for all hosts."""

    degree: tuple[int, int]
    target: Literal["relu", "jumprelu"]


class Inputs(NamedTuple):
    """What an untuned arm may look at besides the teacher."""

    calibration: list[Any]  # activations [n_tok, d_in] in chunks
    fit: Mapping[str, Any] | None  # record of the arm's design problem
    tail: bool  # see rsae.sae.gates.rational


class Arm(NamedTuple):
    """One contestant. An untuned arm is built from the teacher, a tuned one trained from ``start``.

    ``prepare`` may change the copy of the start that is trained, cheaply and without data;
    ``trains`` are the prefixes of the parameters that move; ``objective`` is set where the arm is
    its objective, else the suite chooses.
    """

    name: str
    kinds: tuple[Kind, ...] = KINDS
    start: str | None = None  # of a tuned arm: an untuned arm's name
    design: Design | None = None
    build: Callable[[Any, Inputs], tuple[Any, dict[str, Any]]] | None = None  # (SAE, inputs) to (SAE, facts)
    prepare: Callable[[Any], Any] | None = None  # SAE to SAE
    trains: tuple[str, ...] = ALL_PARAMETERS
    objective: Objective | None = None
    module: str = ""  # filled in here

    @property
    def tuned(self) -> bool:
        """Whether the arm is fine-tuned, and therefore has seeds."""
        return self.start is not None


@cache
def arms(kind: Kind) -> dict[str, Arm]:
    """The contestants for one kind of teacher, by name.

    Raises:
        ValueError: two files declare the same arm.
    """
    found: dict[str, Arm] = {}
    for entry in pkgutil.walk_packages(__path__, f"{__name__}."):
        for arm in [] if entry.ispkg else importlib.import_module(entry.name).ARMS:
            if kind in arm.kinds:
                if arm.name in found:
                    raise ValueError(f"{entry.name} and {found[arm.name].module} both declare the arm {arm.name!r}")
                found[arm.name] = arm._replace(module=entry.name)
    return found
