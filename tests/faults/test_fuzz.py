"""Files from strangers, damaged at random: see tests/faults/fuzz.py."""

import subprocess
import sys

import pytest

from tests.faults.pipeline import ROOT


def fuzz(n, seed):
    command = [sys.executable, "-m", "tests.faults.fuzz", str(n), str(seed)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("n", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_damage_is_refused_cleanly_or_changes_nothing(n):
    done = fuzz(n, seed=n)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{n} mutations, ")
    refused = int(done.stdout.split(", ")[1].split()[0])
    assert n / 2 < refused < n  # most damage matters; some hits a padding, a comment or equal bytes


def test_the_fuzz_notices_what_is_silent_or_unclean(monkeypatch):
    """A reader that believes anything, and one that fails like a library."""
    from tests.faults import fuzz as module

    def careless(folder):
        (folder / "a").write_bytes(b"a" * 100)
        (folder / "b").write_bytes(b"b" * 100)

        def fails(path):
            if path.read_bytes() != b"b" * 100:
                raise KeyError("b")

        specimen = module.Specimen
        return {
            "believes": specimen(folder / "a", lambda p: p.read_bytes(), True),
            "fails": specimen(folder / "b", fails, True),
        }

    monkeypatch.setattr(module, "specimens", careless)
    odd = module.run(40, 0)
    assert any("believes, a: read as if nothing were wrong" in case for case in odd)
    assert any("fails, b: KeyError" in case for case in odd)
