# The benchmark as a graph: text -> tokens -> activations -> gate fits -> upgrades -> judgements -> tables.
# Targets: a suite (embedded, quick), a host of a suite, a file, or nothing for the embedded suite.
import inspect
import re
import sys
from pathlib import Path

from snakemake.cli import get_argument_parser
from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(workflow.basedir))

from rsae.plan import (
    DIGESTS,
    EXTRA_TABLES,
    PARETO,
    TABLES,
    TEXT_SPLITS,
    Paths,
    fit_path,
    load_assets_plan,
    load_families_plan,
    load_more_teachers_plan,
    load_plans,
    module_digest,
    studies,
    tell_commands,
)


configfile: "config/config.yaml"


container: config["container"]


# Where commands find results: here, or where a storage plugin puts the copies of a job's files. And where the planner
# finds what is there already: here, or on the volume itself (profiles/kubernetes).
if workflow.storage_settings.default_storage_provider:
    KEPT = f"{workflow.storage_settings.default_storage_prefix.rstrip('/')}/results"
    store = workflow.storage_registry.default_storage_provider
    tell_commands(store.object(KEPT).local_path())
else:
    KEPT = "results"
    tell_commands(Path(KEPT))

PLANS = load_plans(kept=Path(KEPT))
ADDRESS = r"[\w.-]+(/[\w.-]+)?"  # HOST, or HOST/SITE
ASSETS = load_assets_plan()
MORE = load_more_teachers_plan()
FAMILIES = load_families_plan(PLANS)
RESULTS = Path("results")
LOGS = RESULTS / "logs"


wildcard_constraints:
    suite="|".join(PLANS),
    host=r"[\w.-]+",
    teacher=r"[\w.-]+",
    split=r"\w+",
    arm=r"\w+",
    seed=r"\d+",
    p=r"\d+",
    q=r"\d+",


rule all:
    input:
        lambda w: PLANS["embedded"].targets(),


include: "workflow/rules/common.smk"
include: "workflow/rules/inputs.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/targets.smk"
include: "workflow/rules/assets.smk"
include: "workflow/rules/studies.smk"


# All rules are known: a name that is none, or whose suite is half-written, is told before the graph is made.
if mistake := PLANS.mistake(
    asked(), [rule.name for rule in workflow.rules if not rule.has_wildcards()]
):
    raise WorkflowError(mistake)


onsuccess:
    # what a person ran it for: the tables of every suite that the run covered
    covered = {str(file) for job in workflow.dag.jobs for file in job.output}
    for plan in PLANS.values():
        if str(plan.cells_file()) in covered:
            for path in plan.printed():
                print(path.read_text())
