"""Words that commands have in common, and how they find what the words mean."""

from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from rsae.plan import RESULTS_VARIABLE, Plan, load_plans

# panels of the page of `--help`, in their order
PEOPLE = "For people"
STAGES = "Stages of a suite, in their order"
GATES = "Gates and theory, without data"
HUB = "What comes from a hub"
TEACHERS = "Teachers beside the committed ones, and what holds over all"
EMBEDDED = "The embedded host and teachers, trained again"


class Option(NamedTuple):
    """A parameter of a plan's method, as people meet it."""

    help: str
    left_out: str = ""  # what happens where it may be left out
    flag: str = ""  # where it is not the parameter's name


OPTIONS = {
    "suite": Option("Name of a file in config/suites, without .yaml."),
    "host": Option("Host, as named in a suite (names are unique across suites)."),
    "address": Option("HOST, or HOST/SITE for a site that has a name.", flag="--host"),
    "teacher": Option("Teacher, as named under the host.", "The host itself"),
    "arm": Option("Arm, as listed under the teacher.", "All tuned ones, or the teacher's own grid,"),
    "seed": Option("One seed of the suite.", "All of them"),
    "split": Option("Split of the documents: test, threshold, tuning, calibration or finetune."),
    "name": Option("A text: a file in config/text, without .yaml.", "The suite's own"),
    "by": Option("What the processes of a torchrun divide."),
}


def option(name: str, kind: Any, required: bool) -> Any:
    """The annotation by which typer makes an option of the parameter ``name`` of type ``kind``."""
    known = OPTIONS[name]
    left_out = "" if required or not known.left_out else f" {known.left_out} if left out."
    return Annotated[kind, typer.Option(known.flag or f"--{name}", help=known.help + left_out)]


SuiteName = Annotated[str, typer.Option("--suite", help=OPTIONS["suite"].help)]
Results = Annotated[Path, typer.Option(help="Folder of all results.", envvar=RESULTS_VARIABLE)]
RESULTS = Path("results")


def plan_named(suite: str, results: Path) -> Plan:
    """The plan of a suite.

    Raises:
        ValueError: there is no such suite, or its file is wrong; says which there are, or what is wrong.
    """
    return load_plans(results=results)[suite]


def plan_of(address: str, results: Path) -> Plan:
    """The plan of the suite that has the host of an address.

    Raises:
        ValueError: no suite has it, or the one that has is wrong; says which hosts there are, or what is wrong.
    """
    return load_plans(results=results).of(address.partition("/")[0])


def require(paths: list[Path], results: Path) -> None:
    """Raise a ValueError that names the first of ``paths`` that is not there, and how it is made."""
    missing = next((path for path in paths if not path.exists()), None)
    if missing is None:
        return
    made, remedy = missing, ""
    # Snakemake makes what lies in its own folder
    if results.resolve() != RESULTS.resolve() and missing.is_relative_to(results):
        made = RESULTS / missing.relative_to(results)
        remedy = f" in {RESULTS}/, which is read without --results"
    raise ValueError(f"{missing} does not exist; make it with `snakemake {made}`{remedy}")
