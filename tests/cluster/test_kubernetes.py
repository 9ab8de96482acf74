"""A suite through Snakemake's executor for Kubernetes and a storage plugin, against a stand-in for the cluster."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import hub
from tests.cluster import kube
from tests.cluster.test_slurm import results, without_seconds
from tests.containers.engines import install
from tests.faults import pipeline
from tests.workflow import every
from tests.workflow.project import ROOT, Project

PROFILE = ROOT / "profiles/kubernetes"
IMAGE = "registry.example/rsae@sha256:" + "0" * 64


def with_tiny(folder: Path, volume: Path) -> Project:
    """A clone with the tiny suite in it, in git, its files relative to it; the volume where the profile mounts it."""
    project = Project(folder)
    pipeline.project(folder, inside=True)
    profile = folder / "profiles/kubernetes/config.yaml"
    profile.write_text(profile.read_text().replace("/shared", str(volume)))
    for command in (["init", "--quiet"], ["add", "."]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return project


@pytest.fixture(scope="module")
def plugins(tmp_path_factory) -> Path:
    """The plugins that the profile names, beside what is installed, at the versions that are pinned."""
    install(rsync="rsync")
    folder = tmp_path_factory.mktemp("plugins")
    pins = folder / "pins.txt"
    lock = (ROOT / "requirements.lock").read_text().splitlines()
    pins.write_text("\n".join(line.split(" ")[0] for line in lock if "==" in line and not line.startswith((" ", "#"))))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", folder / "lib", "--constraint", pins]
    subprocess.run([*pip, "--requirement", PROFILE / "requirements.txt"], check=True)
    return folder / "lib"


@pytest.mark.slow
def test_a_suite_through_kubernetes_ends_as_a_local_run(tmp_path, plugins):
    volume = tmp_path / "volume"
    (volume / "rsae").mkdir(parents=True)
    (tmp_path / "pods").mkdir()
    local, project = (with_tiny(tmp_path / name, volume) for name in ("local", "cluster"))
    environment: dict[str, Any] = {"RSAE_GATE": "tiled", "HF_HOME": str(volume / "hf")}
    local.snakemake("--cores", "2", "tiny", **environment)

    # the page's line: what no job makes has to be on the volume
    line = next(line for line in (ROOT / "docs/cluster.md").read_text().splitlines() if line.startswith("git ls-files"))
    subprocess.run(["bash", "-euc", line.replace("/shared", str(volume))], cwd=project.folder, check=True)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    cluster = kube.Cluster(tmp_path / "pods", path, at_once=2)
    with cluster.serving():
        project.call(
            "timeout", "1800", "snakemake", "--profile", "profiles/kubernetes", "--container-image", IMAGE,
            "--config", "gpus=1", "--seconds-between-status-checks", "2",
            "--envvars", "HF_HOME", "RSAE_GATE", "PIP_CONSTRAINT", "--", "tiny",
            KUBECONFIG=str(cluster.folder / "kubeconfig"), PYTHONPATH=str(plugins),
            PIP_CONSTRAINT=str(plugins.with_name("pins.txt")), **environment,
        )  # fmt: skip

    wanted, found = results(local.folder), results(volume / "rsae")
    assert "results/tiny/tables/cells.csv" in wanted
    assert [name for name in wanted if wanted[name] != found.get(name)] == []
    for table in (local.folder / "results/tiny/tables").glob("*.md"):
        other = volume / "rsae" / table.relative_to(local.folder)
        assert without_seconds(table.read_text()) == without_seconds(other.read_text()), table.name
    assert not (project.folder / "results/tiny").exists()  # nothing was made where nobody looks for it

    assert set(cluster.pods.values()) == {0}
    assert len(cluster.asked) > 15
    containers = [job["spec"]["template"]["spec"]["containers"][0] for job in cluster.asked.values()]
    assert {container["image"] for container in containers} == {IMAGE}
    assert {m["mountPath"] for c in containers for m in c["volumeMounts"]} == {"/workdir", str(volume)}
    requests = [container["resources"]["requests"] for container in containers]
    assert sum(request.get("nvidia.com/gpu") == "1" for request in requests) == 4 + 1 + 2 + 2  # as with Slurm
    assert {request["memory"] for request in requests} == {"2000M"}
    assert set(cluster.deleted) >= {*cluster.asked, *cluster.secrets}  # nothing is left on the cluster


@pytest.mark.slow
def test_a_suite_of_a_hub_through_the_storage_plugin_ends_as_without_it(tmp_path, plugins):
    """On this machine: what is asked is whether verdict and receipts reach the jobs that need them."""
    volume = tmp_path / "volume"
    plain, stored = (every.every(tmp_path / name) for name in ("plain", "stored"))
    for name in ("assets", "config"):
        shutil.copytree(stored.folder / name, volume / name)
    with every.served(tmp_path / "hub").serve() as local:
        environment: dict[str, Any] = {**hub.environment(tmp_path / "home", local), "RSAE_GATE": "tiled"}
        plain.snakemake("--cores", "2", "paper-smoke", **environment)
        storage = ("--default-storage-provider", "fs", "--default-storage-prefix", str(volume))
        stored.snakemake("--cores", "2", "paper-smoke", *storage, **environment, PYTHONPATH=str(plugins))
    wanted, found = results(plain.folder, "paper-smoke"), results(volume, "paper-smoke")
    assert "results/paper-smoke/tables/reported.md" in wanted
    assert [name for name in wanted if "preflight" not in name and wanted[name] != found.get(name)] == []


def test_the_profile_names_what_the_page_says():
    profile = yaml.safe_load((PROFILE / "config.yaml").read_text())
    page = (ROOT / "docs/cluster.md").read_text()
    assert profile["kubernetes-persistent-volumes"] == ["rsae:/shared"]
    assert Path(profile["default-storage-prefix"]).is_relative_to("/shared")
    assert "--requirement profiles/kubernetes/requirements.txt" in page
    for name in ("--profile profiles/kubernetes", "--container-image", *profile["envvars"]):
        assert name in page
