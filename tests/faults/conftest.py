"""The tiny suite, run once without a fault, for all tests that break or repeat it."""

import shutil
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults import pipeline


class Unbroken(NamedTuple):
    """A finished run."""

    folder: Path
    seconds: float


def pytest_itemcollected(item):  # before xdist reads the groups
    """One worker for all tests of the tiny suite, or each worker would run it for itself."""
    if {"unbroken", "project"} & set(getattr(item, "fixturenames", ())):
        item.add_marker(pytest.mark.xdist_group("tiny"))


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory) -> Unbroken:
    folder = pipeline.project(tmp_path_factory.mktemp("unbroken"))
    pipeline.start(folder / "config").join()  # fails at once, but the libraries are imported: not timed below
    start = time.monotonic()
    pipeline.finish(folder)
    return Unbroken(folder, time.monotonic() - start)


@pytest.fixture
def project(unbroken, tmp_path, monkeypatch) -> Path:
    """A copy of the finished run, to be broken, as the working directory."""
    folder = Path(shutil.copytree(unbroken.folder, tmp_path / "project"))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def rsae(monkeypatch, capfd):
    """A command, as typed; returns what a person sees of it if it fails, having checked the manners of that."""

    def call(line: str) -> str:
        from rsae import cli

        monkeypatch.setattr("sys.argv", ["rsae", *line.split()])
        for name, value in pipeline.ENVIRONMENT.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        capfd.readouterr()
        # a string means: that on stderr, and exit status 1
        assert isinstance(ended.value.code, str), f"`rsae {line}` ended with {ended.value.code!r}"
        assert ended.value.code.startswith("rsae: ")
        assert len(ended.value.code.splitlines()) <= 3
        assert "Traceback" not in ended.value.code
        return ended.value.code

    return call
