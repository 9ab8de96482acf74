"""A copy of the project in which the quick suite was really run, once per test session."""

import shutil

import pytest

from tests.workflow.project import ROOT, Project


def pytest_itemcollected(item):  # before xdist reads the groups
    """One worker for all tests of the quick project, or each worker would run it for itself."""
    for project in ("quick", "clone"):
        if project in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group(project))


@pytest.fixture(scope="session")
def quick(tmp_path_factory) -> Project:
    """The quick suite, finished. Tests that edit it must put it back (see ``untouched``)."""
    project = Project(tmp_path_factory.mktemp("project"))
    project.snakemake("--cores", "2", "quick")
    return project


@pytest.fixture
def untouched(quick):
    """The quick project, whose sources are restored after the test."""
    yield quick
    for path in quick.folder.rglob("*"):
        relative = path.relative_to(quick.folder)
        source = ROOT / relative
        if relative.parts[0] in ("rsae", "config", "requirements.lock") and path.is_file() and source.is_file():
            shutil.copy2(source, path)
