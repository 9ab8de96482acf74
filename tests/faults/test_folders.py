"""Folders as people have them: two runs at once, read-only, with odd names, under a private umask."""

import errno
import os
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from rsae.cli import errors
from rsae.data.activations import shard_writer, shards
from tests import hub as local
from tests.faults import pipeline

PAIR = f"--host {pipeline.HOST} --teacher {pipeline.TEACHER}"


def test_odd_names_and_a_private_umask_change_no_byte(unbroken, tmp_path):
    folder = pipeline.project(tmp_path / "mes données — 你好 (copie)" / "a b")
    pipeline.finish(folder, umask=0o077)
    assert pipeline.results(folder) == pipeline.results(unbroken.folder)
    made = [p for p in (folder / "results").rglob("*") if p.is_file()]
    assert {p.stat().st_mode & 0o077 for p in made} == {0}  # private as asked; no later stage was locked out


def test_a_second_trainer_of_one_arm_is_told_and_nothing_is_lost(project, rsae):
    before = pipeline.results(project)
    states = project / f"results/checkpoints/tiny/{pipeline.HOST}/relu/rsae"
    code = f"""
import sys
from pathlib import Path
from rsae.runtime.checkpoint import alone
with alone(Path({str(states)!r})):
    print("held", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=pipeline.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as one:
        assert one.stdout is not None
        assert one.stdout.readline() == "held\n"
        said = rsae(f"finetune {PAIR} --arm rsae")
        assert f"process {one.pid} is at work in" in said
        assert "wait for it, or end it" in said
        one.kill()
    found = pipeline.results(project)
    found.pop(f"results/checkpoints/tiny/{pipeline.HOST}/relu/rsae/lock")
    assert found == before


def _write_shards(folder, value, times):
    block = shards.Block(np.zeros(500, np.int32), np.arange(500, dtype=np.int32), np.full((500, 64), value, np.float32))
    for _ in range(times):
        try:
            shard_writer.write(
                folder, [block], n_tok=500, n_shards=2, dtype="float32", hook="h", documents=["a"], made_from={}
            )  # fmt: skip
        except OSError as error:  # the other one was quicker to put its folder there
            assert error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT)


def test_two_harvests_into_one_folder_leave_one_whole(tmp_path):
    folder = tmp_path / "activations"
    writers = [get_context("fork").Process(target=_write_shards, args=(folder, v, 20)) for v in (1.0, 2.0)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    x = shards.Shards(folder).load().x  # every digest holds
    assert x.min() == x.max()  # all of one writer
    assert [p.name for p in tmp_path.iterdir()] == ["activations"]


@pytest.fixture
def read_only(tmp_path):
    """Makes a folder read-only, for root as well; returns it writable when the test is over."""
    mounted = []

    def make(folder: Path) -> None:
        for command in (["mount", "--bind", folder, folder], ["mount", "-o", "remount,bind,ro", folder]):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"no file system can be made read-only here: {done.stderr}")
            mounted.append(folder)

    yield make
    for folder in dict.fromkeys(mounted):
        subprocess.run(["umount", folder], check=True)


def test_read_only_results_are_named_with_the_remedy(project, rsae, read_only):
    before = pipeline.results(project)
    read_only(project / "results")
    for line in (f"tokens --host {pipeline.HOST} --split test", "tables --suite tiny", f"finetune {PAIR} --arm rsae"):
        said = rsae(line)
        assert "results/" in said
        assert "the file system is read-only; make it writable" in said
    assert pipeline.results(project) == before


CACHED = """
import sys
from rsae.cli import errors
from rsae.data.hub import client
client.PATIENCE = ()
try:
    print(client.fetch("someone/sae", sys.argv[1], lambda names: list(names)).folder)
except Exception as error:
    print(errors.sentence(error))
"""


def test_a_read_only_cache_serves_what_it_holds_and_is_named_where_it_cannot(tmp_path, read_only):
    files = tmp_path / "files"
    files.mkdir()
    (files / "cfg.json").write_text("{}")
    home = tmp_path / "home"
    local.seed_cache(home, "someone/sae", files)
    (files / "more.json").write_text("{}")  # on the hub, and not in the cache
    hub = local.Hub()
    hub.add("someone/sae", files, commit=local.OLD)
    read_only(home)

    def fetched(hub, revision):
        command = [sys.executable, "-c", CACHED, revision]
        done = subprocess.run(
            command, cwd=pipeline.ROOT, capture_output=True, text=True, env=local.environment(home, hub)
        )
        return done.stdout.strip()

    assert fetched(None, local.COMMIT).endswith(local.COMMIT)
    with hub.serve():
        said = fetched(hub, local.OLD)
    assert "the file system is read-only" in said
    assert "cannot be reached" not in said


def test_faults_of_the_machine_are_said_in_one_sentence_and_bugs_keep_their_traceback():
    for code in errors.REMEDIES:
        said = errors.sentence(OSError(code, os.strerror(code), "results/x"))
        assert said is not None
        assert said.startswith("results/x: ")
    said = errors.sentence(OSError(errno.EIO, os.strerror(errno.EIO), "results/x"))
    assert said == "results/x: Input/output error; run the same line again"
    assert errors.sentence(MemoryError(), "harvest") == (
        "not enough memory for harvest; close other programs, take fewer `tokens` or a larger machine"
    )
    assert "take a smaller batch, fewer" in str(errors.sentence(MemoryError(), "finetune"))
    many = errors.sentence(ValueError("\n".join("abcde")))
    assert many == "a\nb\nand 3 more"
    long = errors.sentence(ValueError("the file " + "x" * 10_000 + "; make it again"))
    assert long is not None
    assert len(long) < 700
    assert long.startswith("the file ")
    assert long.endswith("; make it again")
    for bug in (KeyError("x"), TypeError("x"), AssertionError()):
        assert errors.sentence(bug) is None
