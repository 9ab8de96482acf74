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
        runs = [project.snakemake("--cores", "2", *t, **environment) for t in (every.FIRST, every.TARGETS)]
    rules = every.with_commands(project)
    assert rules - every.started("".join(run.stderr for run in runs)) == set()
    assert len(rules) > 35
    assert project.planned(*every.TARGETS, **environment) == set()
