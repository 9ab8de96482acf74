"""One small run of everything that has a rule: suites, trainings, studies and a hub's checkpoints, cut to minutes."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import yaml

from rsae.plan import load_plans
from tests import hub, tiny
from tests.workflow.project import Project

# What every rule is for, in one suite: two sites that share a harvest, a labelled text, arms tuned for themselves, one
# SAE at two sparsities, two trainings of one recipe, every kind of gate and every extra.
SUITE = """
seed: 1
seeds: [0]
text: small
extras: [probing, anatomy, convergence]
probed_texts: [classed]
gate: {theta: 0.1, delta: 0.02}
finetune: {steps: 20, batch: 64, slow_lr: 1.0e-4, decay_share: 0.2}
hosts:
  every-host:
    path: assets/embedded/host
    sites:
      one: {hook: blocks.1.hook_resid_post, ctx: 64, bos: true}
      two: {hook: blocks.1.hook_resid_post, ctx: 64, bos: true, center_writing_weights: true}
    n_shards: 2
    tokens: {test: 3000, threshold: 1500, tuning: 1500, calibration: 1500, finetune: 3000}
    max_rows_per_document: {test: 2, threshold: 2, tuning: 2, calibration: 2}
    teachers:
      relu: &relu
        path: assets/embedded/teachers/relu
        kind: relu
        site: one
        family: relu
        front: relu
        l1_coefficient: 1.42
        lr: 1.0e-3
        tuning: {l1_coefficient: [1.42], lr: [3.0e-4]}
        grids: {teacher_ft: {l1_coefficient: [1.42], lr: [3.0e-4, 1.0e-3]}}
        arms: [teacher, teacher_ft, rsae_init, rsae]
      relu-sparse:
        <<: *relu
        family: sparse
        l0: 12
      relu-b:
        <<: *relu
        path: results/teachers/relu-b
        front: other
      jumprelu:
        path: results/teachers/jumprelu-c
        kind: jumprelu
        site: two
        l1_coefficient: 0.448
        lr: 1.0e-3
        arms: [teacher, teacher_ft, rsae_init]
"""
SHARES = ("test", "threshold", "tuning", "calibration", "finetune", "teacher_train", "host_train")
SMALL = {"source": "docstrings", "packages": ["networkx", "sklearn"], "shares": dict.fromkeys(SHARES, 0.14)}
CLASSED = {
    "source": "files", "path": "classed.jsonl", "per": "line", "label": "kind",
    "shares": {"test": 0.4, "threshold": 0.01, "tuning": 0.01, "calibration": 0.01, "finetune": 0.5},
}  # fmt: skip
MORE = {
    "relu-b": {"like": "relu", "seed": 2, "steps": 30},
    "jumprelu-c": {"like": "jumprelu", "seed": 2, "scatter": 0.5},
}
# before the others: pins are what they are made from, and a page shows the atlas where there is one
FIRST = ("fetch_paper-smoke", "gates")
TARGETS = (
    "every", "report-every", "results/every/every-host/relu/tuning.json", "families", "theory",
    "embedded_assets", "more_teachers", "paper-smoke", "embedded",
)  # fmt: skip
OWN = ("every", "paper-smoke", "embedded")  # suites that are run
LEFT_OUT = re.compile(r"fetch_(every|embedded)")  # which have nothing to fetch
TARGET_RULES = re.compile(r"all|embedded_assets|more_teachers|report(-.*)?")  # have inputs and no command


def every(folder: Path) -> Project:
    """The project, where every target of :data:`TARGETS` takes seconds."""
    project = Project(folder)
    config = project.folder / "config"
    (config / "suites/every.yaml").write_text(SUITE)
    (config / "text/small.yaml").write_text(yaml.safe_dump(SMALL))
    (config / "text/classed.yaml").write_text(yaml.safe_dump(CLASSED))
    kinds = {"sums": "The sum of two and two is four, said the {}th of them.", "prose": "A quiet {}th evening passed."}
    rows = [{"text": text.format(i), "kind": kind} for i in range(150) for kind, text in kinds.items()]
    (project.folder / "classed.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (config / "teachers.yaml").write_text(yaml.safe_dump({"teachers": MORE}))
    (config / "families.yaml").write_text("suites: [every]\n")
    (config / "suites/embedded.yaml").write_text("smoke_of: quick\n")
    _cut_recipes(config / "embedded_assets.yaml")
    _cut_paper(config / "suites/paper.yaml")
    return project


def _cut_recipes(path: Path) -> None:
    """A host and three teachers that are hardly trained at all."""
    recipe = yaml.safe_load(path.read_text())
    recipe["text"] = "small"
    recipe["host"] |= {"d_model": 32, "n_layer": 2, "n_head": 2, "vocab": 600, "ctx": 64, "steps": 20, "batch": 8}
    recipe["training"] |= {"d_sae": 64, "batch": 64, "warm_up": 5, "decay": 10, "n_shards": 2}
    for teacher in recipe["teachers"].values():
        teacher["steps"] = 30
        for key in teacher["options"]:
            if key.endswith("warm_up_steps"):
                teacher["options"][key] = 5
    path.write_text(yaml.safe_dump(recipe))


def _cut_paper(path: Path) -> None:
    """One pair, with nothing published of its teacher: the stand-in is random."""
    paper = yaml.safe_load(path.read_text())
    host = paper["hosts"]["gpt2-small"]
    host["teachers"] = {"relu": host["teachers"]["relu"]}
    del host["teachers"]["relu"]["published"]
    paper["hosts"] = {"gpt2-small": host}
    path.write_text(yaml.safe_dump(paper))


def served(folder: Path) -> hub.Hub:
    """A hub with what that pair fetches."""
    return tiny.served({"models": tiny.models(folder / "models"), "datasets": tiny.datasets(folder / "datasets")})


def run(project: Project, snakemake: Callable[..., str]) -> str:
    """Every target, then what looks at finished results and what clears them; what Snakemake said of it all.

    ``snakemake`` runs one line of targets; with ``check=False`` it may end badly.
    """
    said = snakemake(*FIRST) + snakemake(*TARGETS)
    project.rsae("expect", "--suite", "embedded", check=True)  # of the cut suite
    said += snakemake("check")
    reported = snakemake("check_paper-smoke", check=False)
    assert "none of the reported numbers was run" in reported
    return said + reported + snakemake("clean_activations")


def with_commands(project: Project) -> set[str]:
    """Names of the rules that are to be run: those that stand for a target alone have no command."""
    plans = load_plans(project.folder / "config/suites")
    made_for = {*plans, *(host for plan in plans.values() for host in plan.suite.hosts)}
    # each suite has rules of its own for fine-tunes, for what it fetches and for its reported numbers
    others = "|".join(re.escape(name) for name in plans if name not in OWN)
    listed = project.snakemake("--list-rules").stdout.split()
    return {
        rule
        for rule in listed
        if rule not in made_for
        and not TARGET_RULES.fullmatch(rule)
        and not LEFT_OUT.fullmatch(rule)
        and not re.fullmatch(rf"finetune_({others})(_.*)?|(fetch|check)_({others})", rule)
    }


def started(log: str) -> set[str]:
    """Names of the rules whose jobs Snakemake says it has started."""
    return set(re.findall(r"^(?:local)?(?:rule|checkpoint) (\S+):$", log, re.MULTILINE))
