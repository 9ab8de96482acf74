"""What `rsae doctor` says of a machine, good or not."""

import shutil
from pathlib import Path

import pytest

from rsae.cli import doctor
from rsae.sae.gates import kernels
from tests import hub as local
from tests.cli.test_cli import rsae

DISK = shutil.disk_usage("/")


def said(what, **options):
    (found,) = (f for f in doctor.examine(**options) if f.what == what)
    return found


def test_it_looks_at_everything_and_changes_nothing(tmp_path):
    done = rsae("doctor", "--no-network", "--results", str(tmp_path / "new"))
    assert done.returncode == 0, done.stderr
    for what in (
        "Python",
        "packages",
        "device",
        "rational gate",
        "products",
        "disk",
        "memory",
        "embedded host",
        "hub cache",
        "hub",
    ):
        assert f"  {what}: " in done.stdout
    assert not (tmp_path / "new").exists()


def test_another_version_and_a_missing_compiler_are_named(monkeypatch, tmp_path):
    lock = tmp_path / "requirements.lock"
    lock.write_text("numpy==0.0.1\nsomething-that-is-not-there==1.0\n")
    monkeypatch.setattr(doctor, "LOCK", lock)
    found = said("packages", network=False)
    assert found.state == "note"
    assert "pinned 0.0.1" in found.said
    assert "something-that-is-not-there missing, pinned 1.0" in found.said
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.delenv("RSAE_GATE", raising=False)
    kernels._fastest.cache_clear()  # what is remembered is another machine's
    assert "install g++" in said("rational gate", network=False).said
    kernels._fastest.cache_clear()


def test_a_disk_that_is_too_small_stops(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: DISK._replace(free=10**9))
    assert said("disk", network=False).state == "bad"


@pytest.mark.parametrize("up", [True, False])
def test_the_hub_is_asked_once_and_may_be_away(monkeypatch, up):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with local.Hub().serve() as served:
        monkeypatch.setattr(constants, "ENDPOINT", served.url)
        if up:
            assert said("hub").state == "ok"
            assert served.log == ["HEAD /"]
    if not up:  # nobody listens there any more
        found = said("hub", results=Path("results"))
        assert found.state == "note"
        assert "not reachable" in found.said
