"""The paper suite through the real loaders: from a cache without network, and from a local hub with a gate."""

import json
import sys
import time

import pandas as pd
import pytest
import yaml

from tests import hub as local
from tests import tiny
from tests.workflow.project import Project

PAIRS = {
    ("gpt2-small-smoke", "relu"), ("gpt2-small-smoke", "topk"),
    *((h, t) for h in ("pythia-160m-smoke", "gemma-2-2b-smoke") for t in ("relu", "jumprelu", "topk")),
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    return {"models": tiny.models(folder / "models"), "datasets": tiny.datasets(folder / "datasets")}


@pytest.fixture
def project(tmp_path):
    """The project, with nothing published of its teachers: the stand-ins are random."""
    made = Project(tmp_path / "project")
    suite = made.folder / "config/suites/paper.yaml"
    raw = yaml.safe_load(suite.read_text())
    for host in raw["hosts"].values():
        for teacher in host["teachers"].values():
            teacher.pop("published", None)
    suite.write_text(yaml.safe_dump(raw))
    return made


def seeded(home, files):
    for repo, folder in files["models"].items():
        local.seed_cache(home, repo, folder)
    for repo, folder in files["datasets"].items():
        local.seed_cache(home, repo, folder, "datasets", tiny.DATASETS[repo])


@pytest.mark.slow
def test_all_eight_pairs_reach_the_tables_without_network(project, tmp_path, files):
    seeded(tmp_path / "home", files)
    start = time.monotonic()
    project.snakemake("--cores", "2", "paper-smoke", RSAE_GATE="tiled", **local.environment(tmp_path / "home"))
    print(f"all eight pairs: {(time.monotonic() - start) / 60:.1f} min")
    results = project.folder / "results/paper-smoke"
    cells = pd.read_csv(results / "tables/cells.csv")
    assert set(zip(cells.host, cells.teacher, strict=True)) == PAIRS
    l0 = cells[(cells.metric == "l0") & (cells.arm == "teacher")].set_index(["host", "teacher", "support"]).value
    for host in ("gpt2-small-smoke", "pythia-160m-smoke", "gemma-2-2b-smoke"):
        assert tiny.K - 1 < l0[host, "topk", "raw"] <= tiny.K
    # numbers of a smoke run are never shown as the source's
    assert "0 of its" in (results / "tables/reported.md").read_text()
    assert "distinct tokens" in (project.folder / "results/logs/paper-smoke/preflight.log").read_text()


def test_with_nothing_cached_and_no_network_it_says_at_once_what_is_missing(project, tmp_path):
    done = project.rsae("preflight", "--suite", "paper", **local.environment(tmp_path / "home"))
    assert done.returncode == 1
    for words in ("openai-community/gpt2: config.json", "about 0.249 GB", "google/gemma-scope-2b-pt-res", "params.npz",
                  "Skylion007/openwebtext"):  # fmt: skip
        assert words in done.stdout
    assert "listed with their sizes above; with a network, `snakemake fetch_paper` fetches all" in done.stderr
    assert "138 GB" in done.stdout  # without reuse, at d 768
    assert not (project.folder / "results/paper/preflight.json").exists()


def test_a_gated_host_is_named_and_the_other_pairs_go_on(project, tmp_path, files):
    with tiny.served(files).serve() as hub:
        hub.gated.add("google/gemma-2-2b")
        env = local.environment(tmp_path / "home", hub)
        said = project.rsae("preflight", "--suite", "paper-smoke", check=True, **env).stdout
        assert f"gated: accept its licence at {hub.url}/google/gemma-2-2b" in said
        assert "HF_TOKEN" in said
        code = (
            "import json; from rsae.plan import load_plans; job = load_plans()['paper-smoke'].tabulate();"
            "print(json.dumps([[str(p) for p in job.inputs], job.settings['not_run']]))"
        )
        inputs, not_run = json.loads(project.call(sys.executable, "-c", code).stdout)
        assert set(not_run) == {f"gemma-2-2b-smoke/{t}" for t in ("relu", "jumprelu", "topk")}
        # the tables wait for the other pairs, and for them alone
        waits_for = {tuple(p.split("/")[2:4]) for p in inputs}
        assert waits_for == {pair for pair in PAIRS if pair[0] != "gemma-2-2b-smoke"}
        # pins of all that can be had; what cannot is told afterwards
        done = project.rsae("fetch-all", "--suite", "paper", **env)
        assert done.returncode == 1
        assert done.stderr.count("gated") == 1
        lock = yaml.safe_load((project.folder / "config/paper.lock.yaml").read_text())
        assert "google/gemma-2-2b" not in lock
        assert lock["openai-community/gpt2"]["commit"] == local.COMMIT
        assert lock["Skylion007/openwebtext"] == {"commit": local.COMMIT, "files": {}}
        pinned = lock["google/gemma-scope-2b-pt-res"]["files"]["layer_12/width_16k/average_l0_82/params.npz"]
        path = files["models"]["google/gemma-scope-2b-pt-res"] / "layer_12/width_16k/average_l0_82/params.npz"
        assert pinned["size"] == path.stat().st_size
    # from now on the pinned files in the cache are enough
    done = project.rsae(
        "fetch", "--host", "gpt2-small-smoke", "--teacher", "topk", **local.environment(tmp_path / "home")
    )
    assert done.returncode == 0, done.stderr
    assert (project.folder / "results/paper-smoke/gpt2-small-smoke/topk/source.json").is_file()
