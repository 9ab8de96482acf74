"""A suite through a real Slurm: the tables of a local run, byte for byte but for seconds."""

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from rsae.plan import LIBRARIES_MB, load_plans
from tests.cluster import slurm
from tests.faults import pipeline
from tests.workflow.project import ROOT, Project

LINE = "snakemake --profile profiles/slurm --config gpus=1 --slurm-no-account --slurm-status-command squeue"
SOON = "--slurm-init-seconds-before-status-checks 5 --latency-wait 10"  # the node is this machine
SECONDS = {"fine-tune s", "fine-tune of one seed"}


def with_tiny(folder: Path) -> Project:
    """A clone with the tiny suite in it, beside the project's own."""
    project = Project(folder)
    pipeline.project(folder)
    return project


def without_seconds(table: str) -> list[list[str]]:
    """Cells of a Markdown text, but for the columns that hold seconds."""
    rows, dropped = [], None
    for line in table.splitlines():
        cells = [cell.strip(" -") for cell in line.split("|")]
        if not line.startswith("|"):
            dropped = None
        elif named := SECONDS.intersection(cells):
            dropped = cells.index(named.pop())
        rows.append([cell for i, cell in enumerate(cells) if i != dropped])
    return rows


def results(folder: Path, suite: str = "tiny") -> dict[str, bytes]:
    found = pipeline.results(folder)
    return {k: v for k, v in found.items() if k.startswith((f"results/{suite}/", "results/gates/"))}


@pytest.mark.slow
@pytest.mark.parametrize("suite", ["tiny", "quick"])
def test_a_suite_through_slurm_ends_as_a_local_run(tmp_path, suite):
    local, cluster = (with_tiny(tmp_path / name) for name in ("local", "cluster"))
    local.snakemake("--cores", "2", suite)
    (tmp_path / "slurm").mkdir()
    with slurm.running(tmp_path / "slurm"):
        done = cluster.call("timeout", "-k", "30", "3000", *f"{LINE} {SOON} {suite}".split())
        jobs = slurm.jobs()

    wanted, found = results(local.folder, suite), results(cluster.folder, suite)
    assert f"results/{suite}/tables/cells.csv" in wanted
    assert sorted(wanted) == sorted(found)
    assert [name for name in wanted if wanted[name] != found[name]] == []
    for path in (local.folder / f"results/{suite}/tables").glob("*.md"):
        other = cluster.folder / path.relative_to(local.folder)
        assert without_seconds(path.read_text()) == without_seconds(other.read_text()), path.name

    assert {job["JobState"] for job in jobs} == {"COMPLETED"}
    steps = re.search(r"^total\s+(\d+)$", done.stdout + done.stderr, re.MULTILINE)
    assert steps
    assert len(jobs) < int(steps[1]) - 1  # small ones went together
    waited = sorted((job["StartTime"], job["EndTime"]) for job in jobs if "gpu" in job.get("TresPerJob", ""))
    pairs = {"tiny": 1, "quick": 3}[suite]
    # harvests of four splits; of a pair the look at its teacher, two fine-tunes and two judgements
    assert len(waited) == 4 + pairs * (1 + 2 + 2)
    # one GPU, one job at a time
    assert all(before[1] <= after[0] for before, after in pairwise(waited))


def test_the_profile_names_rules_that_exist():
    import yaml

    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    listed = subprocess.run(
        [sys.executable, "-m", "snakemake", "--list-rules"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    rules = set(listed.split())
    assert set(profile["groups"]) <= rules
    assert set(profile["groups"].values()) == set(profile["group-components"])


def test_what_holds_an_sae_or_trains_says_how_much_and_how_long():
    """Such a rule may need more than the profile's default, and a second attempt more than the first."""
    texts = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    blocks = [(re.findall(r"-m rsae ([\w-]+)", b)[0], b) for b in re.split(r"\n *rule", texts) if "-m rsae" in b]
    holding = {
        path.stem.replace("_", "-")
        for path in (ROOT / "rsae/stages").rglob("*.py")
        if re.search(r"\bload\((?:teacher|start|folder)\)|\bHost\(|Trials\(", path.read_text())
    } - {"trials", "common"}
    assert {"harvest", "finetune", "tune", "probe", "anatomy", "examine", "init"} <= holding
    long = holding | {"train-host", "train-teacher", "train-activations", "more-teacher", "more-activations"}
    assert long <= {stage for stage, _ in blocks}
    for stage, block in blocks:
        if stage in holding:
            assert re.search(r"mem_mb=(memory,|lambda .*attempt\s+\* )", block), stage
        if stage in long - {"init"}:  # seconds: they share submissions
            assert "runtime=long," in block, stage
    for function in ("memory", "long"):
        assert re.search(rf"def {function}\(wildcards, attempt\):.*\n.*\n    return attempt \* ", texts), function


def test_what_a_cluster_is_asked_for_follows_the_shapes():
    plans = load_plans()
    assert plans["embedded"].memory_mb("gpt2-docs") == LIBRARIES_MB  # its config says no d_sae
    weights = 32768 * (2 * 768 + 1) + 768  # the widest SAE of gpt2-small
    training = 4 * (4 * weights + 6 * 4096 * 32768)  # weights, gradients, two moments; six tensors of a batch
    cached = 4_000_000 * 768 * 2  # fp16
    assert plans["paper"].memory_mb("gpt2-small/topk") == LIBRARIES_MB + (training + cached) // 10**6
