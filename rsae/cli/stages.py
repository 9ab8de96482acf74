"""Every stage is a command, and its method of the plan is its declaration: parameters, help, the job that it does."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_type_hints

import typer

from rsae.cli.options import (
    EMBEDDED,
    GATES,
    HUB,
    OPTIONS,
    PEOPLE,
    RESULTS,
    STAGES,
    TEACHERS,
    Results,
    option,
    plan_named,
    plan_of,
    require,
)
from rsae.plan import (
    AssetsPlan,
    FamiliesPlan,
    Job,
    MoreTeachersPlan,
    Plan,
    load_assets_plan,
    load_families_plan,
    load_more_teachers_plan,
    load_plans,
    studies,
)

app = typer.Typer()

# panel of `--help`: command: the method that declares it
COMMANDS: dict[str, dict[str, Callable[..., Job]]] = {
    PEOPLE: {"report": Plan.report},
    STAGES: {
        "text": Plan.text,
        "tokens": Plan.tokens,
        "harvest": Plan.harvest,
        "import-teacher": Plan.import_teacher,
        "verify-teacher": Plan.verify_teacher,
        "init": Plan.init,
        "tune": Plan.tune,
        "finetune": Plan.finetune,
        "evaluate-reconstruction": Plan.evaluate_reconstruction,
        "evaluate-downstream": Plan.evaluate_downstream,
        "probe": Plan.probe,
        "probe-text": Plan.probe_text,
        "anatomy": Plan.anatomy,
        "tables": Plan.tabulate,
        "tabulate-probing": Plan.tabulate_probing,
        "tabulate-anatomy": Plan.tabulate_anatomy,
        "tabulate-convergence": Plan.tabulate_convergence,
        "tabulate-pareto": Plan.tabulate_pareto,
        "compare-reported": Plan.compare_reported,
        "run-card": Plan.run_card,
        "examine": Plan.examine,
    },
    GATES: {"gates": studies.gates, "theory": studies.theory},
    HUB: {"preflight": Plan.preflight, "fetch": Plan.fetch, "fetch-all": Plan.fetch_all},
    TEACHERS: {
        "more-activations": MoreTeachersPlan.activations,
        "more-teacher": MoreTeachersPlan.teacher,
        "families": FamiliesPlan.tabulate,
    },
    EMBEDDED: {
        "train-text": AssetsPlan.text,
        "train-host": AssetsPlan.host,
        "train-activations": AssetsPlan.activations,
        "train-teacher": AssetsPlan.teacher,
    },
}
OPENED: dict[str, Callable[[Path], Any]] = {
    "AssetsPlan": load_assets_plan,
    "MoreTeachersPlan": load_more_teachers_plan,
    "FamiliesPlan": lambda results: load_families_plan(load_plans(results=results), results),
}


def do(job: Job, results: Path) -> Any:
    """Run a job whose inputs are there."""
    require(job.inputs, results)
    return importlib.import_module(f"rsae.stages.{job.stage}").run(**job.arguments, **job.settings)


def _job(method: Callable[..., Job], given: Mapping[str, Any], results: Path) -> Job:
    """The job of a method of a plan, which is found by what was given; or of a study, which needs none."""
    owner, _, name = method.__qualname__.rpartition(".")
    if not owner:
        return method(results=results)
    if owner in OPENED:
        return getattr(OPENED[owner](results), name)(**given)
    address = given.get("host", given.get("address"))
    rest = {parameter: value for parameter, value in given.items() if parameter != "suite"}
    plan = plan_named(given["suite"], results) if address is None else plan_of(address, results)
    return getattr(plan, name)(**rest)


def _command(method: Callable[..., Job]) -> Callable[..., None]:
    """The method as a function that typer reads: the same parameters, as far as :data:`OPTIONS` knows them."""
    hints, keyword = get_type_hints(method), inspect.Parameter.KEYWORD_ONLY
    wanted = [p for p in inspect.signature(method).parameters.values() if p.name in OPTIONS]
    parameters = [
        p.replace(kind=keyword, annotation=option(p.name, hints[p.name], p.default is p.empty)) for p in wanted
    ]
    owner = method.__qualname__.rpartition(".")[0]
    if owner and owner not in OPENED and not {"host", "address"} & {p.name for p in wanted}:
        parameters.insert(0, inspect.Parameter("suite", keyword, annotation=option("suite", str, True)))
    parameters.append(inspect.Parameter("results", keyword, annotation=Results, default=RESULTS))

    def command(results: Path, **given: Any) -> None:
        do(_job(method, given, results), results)

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    command.__doc__ = (inspect.getdoc(method) or "").split("\n\nRaises:")[0]
    return command


for _panel, _commands in COMMANDS.items():
    for _name, _method in _commands.items():
        app.command(_name, rich_help_panel=_panel)(_command(_method))
