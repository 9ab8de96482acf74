"""The whole computation as data: each job's inputs, outputs and settings.

Snakemake's rules and the command line both read it here, so a rule is exactly the command that a
person can type. A job's ``settings`` are the only part of the configuration that its stage ever
sees, which is what makes reruns precise: what is not handed over cannot matter.

A :class:`Plan` is one suite, written in the order of the computation, each file on top of the one before it: paths,
layout, inputs, training, evaluation, tables.
"""

from rsae.plan.assets import AssetsPlan, MoreTeachersPlan, load_assets_plan, load_more_teachers_plan
from rsae.plan.families import FamiliesPlan, load_families_plan
from rsae.plan.inputs import LIBRARIES_MB, TEXT_SPLITS, load_text
from rsae.plan.job import CONFIG, RESULTS_VARIABLE, Job, derive_seed, module_digest, tell_commands
from rsae.plan.paths import HOST_FILES, SAE_FILES, Paths, fit_path
from rsae.plan.plans import Plans, load_plans
from rsae.plan.tables import EXTRA_TABLES, PARETO, TABLES, Plan
from rsae.runtime.seals import DIGESTS

__all__ = [
    "CONFIG", "DIGESTS", "EXTRA_TABLES", "HOST_FILES", "LIBRARIES_MB", "PARETO", "RESULTS_VARIABLE", "SAE_FILES",
    "TABLES", "TEXT_SPLITS", "AssetsPlan", "FamiliesPlan", "Job", "MoreTeachersPlan", "Paths", "Plan", "Plans",
    "derive_seed", "fit_path", "load_assets_plan", "load_families_plan", "load_more_teachers_plan", "load_plans",
    "load_text", "module_digest", "tell_commands",
]  # fmt: skip
