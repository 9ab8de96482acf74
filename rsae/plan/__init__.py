"""The whole computation as data: each job's inputs, outputs and settings.

Snakemake's rules and the command line both read it here, so a rule is exactly the command that a
person can type. A job's ``settings`` are the only part of the configuration that its stage ever
sees, which is what makes reruns precise: what is not handed over cannot matter.

A :class:`Plan` is one suite, written in the order of the computation, each file on top of the one before it: places,
sources, upgrades, judgements, suite.
"""

from rsae.plan.assets import FamiliesPlan, load_assets_plan, load_families_plan, load_more_teachers_plan
from rsae.plan.inputs import LIBRARIES_MB
from rsae.plan.job import (
    CONFIG,
    HOST_FILES,
    RESULTS_VARIABLE,
    SAE_FILES,
    Job,
    derive_seed,
    fit_path,
    stage_digest,
    tell_commands,
)
from rsae.plan.tables import EXTRA_TABLES, PARETO, TABLES, Plan, load_plans
from rsae.plan.texts import TEXT_SPLITS, load_text
from rsae.runtime.seals import DIGESTS

__all__ = [
    "CONFIG", "DIGESTS", "EXTRA_TABLES", "HOST_FILES", "LIBRARIES_MB", "PARETO", "RESULTS_VARIABLE", "SAE_FILES",
    "TABLES", "TEXT_SPLITS", "FamiliesPlan", "Job", "Plan", "derive_seed", "fit_path", "load_assets_plan",
    "load_families_plan", "load_more_teachers_plan", "load_plans", "load_text", "stage_digest", "tell_commands",
]  # fmt: skip
