"""Suites that take an hour or three, cut down by `smoke_of`: every job of theirs, through Snakemake, to the tables."""

import shutil

import pandas as pd
import pytest

from rsae.plan import load_plans
from tests.workflow.project import Project

SHORT = {"embedded", "quick", "paper-smoke"}  # run as they are, by everybody and by other tests
FETCHED = {"paper"}  # of which paper-smoke is the cut
LONG = sorted({*load_plans()} - SHORT - FETCHED)


@pytest.mark.slow
@pytest.mark.parametrize("suite", LONG)
def test_a_long_suite_cut_down_reaches_its_tables(suite, tmp_path):
    project, plan = Project(tmp_path), load_plans()[suite]
    (project.folder / "config/suites/cut.yaml").write_text(f"smoke_of: {suite}\ntokens: 6000\n")
    for h, t in plan.pairs():
        entry = plan.teacher(h, t)
        if entry.path is not None and entry.path.parts[0] == "results":  # a committed one stands in for a training
            shutil.copytree(project.folder / "assets/embedded/teachers" / entry.kind, project.folder / entry.path)
    project.snakemake("--cores", "2", "cut", RSAE_GATE="tiled")
    tables = project.folder / "results/cut/tables"
    cells = pd.read_csv(tables / "cells.csv")
    wanted = {(f"{h}-smoke", t, arm) for h, t in plan.pairs() for arm, _ in plan.cells(h, t)}
    assert set(cells[["host", "teacher", "arm"]].itertuples(index=False, name=None)) == wanted
    assert cells.value.notna().all()
    made = {path.name for path in tables.iterdir()}
    assert made >= {path.name for path in (*plan.tables(), *plan.extra_tables())}
    assert project.planned("cut") == set()
