"""Further teachers: by the committed recipes but for what differs, and never among the committed files."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rsae.config.assets import Families, MoreTeachers
from rsae.config.load import load
from rsae.plan import FamiliesPlan, load_assets_plan, load_families_plan, load_more_teachers_plan, load_plans
from rsae.sae import loading
from rsae.stages.assets import scatter_thresholds

COMMITTED = Path("assets/embedded/teachers")


@pytest.fixture
def plan():
    return load_more_teachers_plan()


@pytest.mark.parametrize("kind", ["relu", "jumprelu", "topk"])
def test_a_second_teacher_is_the_first_ones_recipe_with_another_seed(plan, kind):
    first, second = load_assets_plan().teacher(kind), plan.teacher(f"{kind}-b")
    assert second.stage == first.stage == "assets.train_teacher"
    assert {k for k in first.settings if first.settings[k] != second.settings[k]} == {"seed"}
    # the committed card says that this is the recipe by which the committed teacher was made
    recipe = json.loads((COMMITTED / kind / "card.json").read_text())["recipe"]
    assert recipe == first.settings
    assert second.settings["seed"] != recipe["seed"]
    assert second.arguments["out"].parts[0] == "results"


def test_a_stress_teacher_says_what_is_wrong_with_it(plan):
    for name, entry in plan.recipe.teachers.items():
        assert name.startswith("stress-") == (entry.stress is not None)
    job = plan.teacher("stress-relu-l1")
    assert (
        job.settings["options"]["l1_coefficient"]
        == 4 * load_assets_plan().teacher("relu").settings["options"]["l1_coefficient"]
    )


def test_activations_come_through_the_committed_host(plan):
    job = plan.activations("teacher_train")
    assert job.arguments["host"] == Path("assets/embedded/host")
    assert job.settings == load_assets_plan().activations("teacher_train").settings


def test_suites_name_the_teachers_that_a_target_makes(plan):
    plans = load_plans()
    made = {plan.root / name for name in plan.recipe.teachers}
    named = {}
    for suite in ("unseen", "stress"):
        host = f"gpt2-docs-{suite}"
        named[suite] = {entry.path for entry in plans[suite].suite.hosts[host].teachers.values()}
        # Snakemake makes the teacher first: its files are inputs of the import
        inputs = {
            p.parent
            for t in plans[suite].suite.hosts[host].teachers
            for p in plans[suite].import_teacher(host, t).inputs
        }
        assert named[suite] <= inputs
    assert named["stress"] == {p for p in made if p.name.startswith("stress-")}
    assert named["unseen"] == made - named["stress"]


def test_a_family_is_both_trainings_of_a_kind_and_no_stress_teacher():
    job = load_families_plan(load_plans()).tabulate()
    members = {family: list(files) for family, files in job.arguments["sums"].items()}
    assert members == {kind: [kind, f"{kind}-b"] for kind in ("relu", "jumprelu", "topk")}
    places = {t: files["downstream"].parent for of in job.arguments["sums"].values() for t, files in of.items()}
    assert places["topk"] == Path("results/controls/gpt2-docs-controls/topk")
    assert places["topk-b"] == Path("results/unseen/gpt2-docs-unseen/topk-b")
    assert len(job.inputs) == 12


def test_two_members_of_a_family_need_two_names():
    plans = load_plans()
    pooled = Families(suites=["controls", "controls"])
    with pytest.raises(ValueError, match="family 'relu' has two teachers with the name 'relu'"):
        FamiliesPlan(pooled, plans).tabulate()
    with pytest.raises(ValueError, match="no suite 'control' in config/suites; there are"):
        FamiliesPlan(Families(suites=["control"]), plans).tabulate()


def test_thresholds_are_scattered_by_the_factor_that_is_asked_for_and_nothing_else_moves(tmp_path):
    scatter_thresholds.run(COMMITTED / "jumprelu", tmp_path / "out", scatter=0.5, seed=2)
    before = load_file(COMMITTED / "jumprelu/sae_weights.safetensors")
    after = load_file(tmp_path / "out/sae_weights.safetensors")
    ratio = (after["threshold"] / before["threshold"]).log()
    n = len(ratio)
    assert abs(float(ratio.mean())) < 4 * 0.5 / n**0.5
    assert float(ratio.std()) == pytest.approx(0.5, abs=4 * 0.5 / (2 * n) ** 0.5)
    assert all(torch.equal(before[k], after[k]) for k in before if k != "threshold")
    sae = loading.load(tmp_path / "out", "jumprelu", 128, 0.05, "sae_lens", {}, "blocks.1.hook_resid_post")
    torch.testing.assert_close(sae.gate.threshold, after["threshold"])
    with pytest.raises(ValueError, match="no thresholds to scatter"):
        scatter_thresholds.run(COMMITTED / "topk", tmp_path / "other", scatter=0.5, seed=2)


def test_a_misspelt_recipe_is_named(tmp_path):
    (tmp_path / "t.yaml").write_text("teachers: {a: {like: relu, sead: 1}}")
    with pytest.raises(ValueError, match=r"unknown key `teachers\.a\.sead`; did you mean 'seed'"):
        load(tmp_path / "t.yaml", MoreTeachers)
    (tmp_path / "t.yaml").write_text("teachers: {a: {like: rleu, seed: 1}}")
    plan = load_more_teachers_plan()
    wrong = type(plan)(load(tmp_path / "t.yaml", MoreTeachers), plan.assets)
    with pytest.raises(ValueError, match=r"no teacher 'rleu' in config/embedded_assets\.yaml; there are relu"):
        wrong.teacher("a")
