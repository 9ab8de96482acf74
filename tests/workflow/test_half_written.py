"""Snakemake beside a suite that somebody is in the middle of writing, and with a name that is none."""

import pytest

from tests.workflow.project import Project


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("half"))
    (project.folder / "config/suites/half.yaml").write_text("seed: 1\nhosts:\n  x: {path", encoding="utf-8")
    # one that other things hang on too: the families, and the default target
    project.edit("config/suites/controls.yaml", "hosts:", "hosts: [")
    project.edit("config/suites/embedded.yaml", "\nfinetune:", "\nfinetnue:")
    return project


def test_other_suites_plan_and_their_commands_work(project):
    done = project.snakemake("quick", "--dry-run", "--quiet")
    assert "warning: suite half is left out: config/suites/half.yaml is not YAML" in done.stderr
    assert any(c.startswith("tables --suite quick") for c in project.planned("results/quick/tables/claims.md"))
    told = project.rsae("show", "--suite", "quick")
    assert "results/quick/tables/reconstruction.md does not exist" in told.stderr


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("half", "config/suites/half.yaml is not YAML"),
        ("results/half/run-card.json", "config/suites/half.yaml is not YAML"),
        ("gpt2-docs", "config/suites/embedded.yaml: unknown key `finetnue`"),
        ("families", "config/suites/controls.yaml is not YAML"),
        ("all", "config/suites/embedded.yaml: unknown key `finetnue`"),
        ("qick", "no target 'qick'; did you mean 'quick'?"),
    ],
)
def test_what_cannot_be_made_says_why(project, target, says):
    done = project.snakemake(target, "--dry-run", check=False)
    assert done.returncode == 1
    assert says in "".join(line for line in (done.stdout + done.stderr).splitlines(True) if "warning: " not in line)


def test_the_commands_of_a_suite_that_is_wrong_say_why(project):
    done = project.rsae("check", "--suite", "half")
    assert done.returncode == 1
    assert "rsae: config/suites/half.yaml is not YAML" in done.stderr


@pytest.mark.parametrize("flag", ["--list", "--list-target-rules"])
def test_lists_are_still_made(project, flag):
    assert "quick" in project.snakemake(flag).stdout.split()
