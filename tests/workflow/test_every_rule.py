"""Every rule of the workflow, run once on something small; in the image, by tests/containers."""

from typing import Any

import pytest

from tests import hub
from tests.workflow import every


@pytest.mark.slow
def test_every_rule_runs(tmp_path):
    project = every.every(tmp_path / "project")
    with every.served(tmp_path / "hub").serve() as local:
        environment: dict[str, Any] = hub.environment(tmp_path / "home", local) | {"RSAE_GATE": "tiled"}

        def snakemake(*targets: str, check: bool = True) -> str:
            done = project.snakemake("--cores", "2", *targets, check=check, **environment)
            return done.stdout + done.stderr

        said = every.run(project, snakemake)
    rules = every.with_commands(project)
    assert rules - every.started(said) == set()
    assert len(rules) > 35
    assert project.planned(*every.TARGETS, **environment) == set()
