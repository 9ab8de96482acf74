"""What a dry run plans in a clone that has no results."""

import pytest

from tests.workflow.project import Project


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Project:
    return Project(tmp_path_factory.mktemp("clone"))


def test_the_main_job_is_the_embedded_suite_and_trains_no_host_and_no_teacher(clone):
    planned = clone.planned()
    assert planned == clone.planned("--cores", "all") == clone.planned("embedded")
    stages = {command.split()[0] for command in planned}
    assert stages == {
        "text", "tokens", "harvest", "fit-gate", "import-teacher", "verify-teacher", "init", "finetune",
        "evaluate-reconstruction", "evaluate-downstream", "tables", "run-card",
    }  # fmt: skip
    assert not any("train" in stage for stage in stages)
    tuned = [c for c in planned if c.startswith("finetune")]
    # one job for all seeds; relu and jumprelu have three tuned arms each, topk two
    assert len(tuned) == 3 + 3 + 2


def test_a_host_is_a_target(clone):
    planned = clone.planned("gpt2-docs-quick")
    assert planned
    assert all("gpt2-docs-quick" in c or c.startswith(("text", "fit-gate")) for c in planned)
    assert not any(c.startswith("tables") for c in planned)


def test_training_the_assets_is_a_target_of_its_own_and_writes_only_results(clone):
    planned = clone.planned("embedded_assets")
    assert {c.split()[0] for c in planned} == {"train-text", "train-host", "train-activations", "train-teacher"}
    outputs = [line.split("\t")[0] for line in clone.snakemake("embedded_assets", "--summary").stdout.splitlines()[1:]]
    assert "results/assets/host/model.safetensors" in outputs
    assert not any(path.startswith("assets/") for path in outputs)


def test_check_compares_after_making_the_tables(clone):
    planned = clone.planned("check")
    assert planned == clone.planned() | {"check --suite embedded"}


def test_a_misspelt_key_stops_before_anything_runs(clone):
    path = clone.folder / "config/suites/quick.yaml"
    text = path.read_text()
    path.write_text(text.replace("l1_coefficient", "l1_coeficient", 1))
    try:
        done = clone.snakemake("quick", "--dry-run", check=False)
        assert done.returncode != 0
        said = done.stdout + done.stderr
        assert "config/suites/quick.yaml" in said
        assert "l1_coeficient" in said
        assert "did you mean 'l1_coefficient'?" in said
    finally:
        path.write_text(text)
