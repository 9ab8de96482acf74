"""Downloads through the real huggingface_hub against a local hub, whole and with every fault."""

import hashlib
import json
import re
import subprocess
import sys

import pytest

from tests import hub as local

REPO = "someone/sae"
SCRIPT = """
import json, sys
from rsae.data.hub import client
from rsae.data.hub.client import Entry
arguments = json.loads(sys.argv[1])
client.PATIENCE = (0.1, 0.1)
pinned = arguments["pinned"] and {k: Entry(*v) for k, v in arguments["pinned"].items()}
try:
    choose = lambda names: arguments["names"] or list(names)
    got = client.fetch(arguments["repo"], arguments["revision"], choose, pinned=pinned)
    print(json.dumps({"commit": got.commit, "folder": str(got.folder), "entries": got.entries}))
except ValueError as error:
    print(json.dumps({"error": str(error), "kind": type(error).__name__}))
"""


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "files"
    (folder / "a").mkdir(parents=True)
    (folder / "a/weights.safetensors").write_bytes(bytes(range(256)) * 300)
    (folder / "a/cfg.json").write_text("{}")
    return folder


@pytest.fixture
def hub(files):
    with local.Hub().serve() as served:
        served.add(REPO, files)
        yield served


def fetch(tmp_path, hub, names=("a/weights.safetensors", "a/cfg.json"), revision="main", pinned=None, repo=REPO, **env):
    arguments = {"repo": repo, "revision": revision, "names": names and list(names), "pinned": pinned}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(arguments)],
        env=local.environment(tmp_path / "home", hub) | env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]) | {"all": done.stdout + done.stderr}


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_files_arrive_whole_with_commit_and_hashes_and_then_need_no_network(tmp_path, hub, files):
    got = fetch(tmp_path, hub)
    assert got["commit"] == local.COMMIT
    weights = files / "a/weights.safetensors"
    assert got["entries"]["a/weights.safetensors"] == [76800, sha256(weights)]
    # the pinned files are in the cache now: neither the hub nor a network is asked
    before = len(hub.log)
    again = fetch(tmp_path, hub, revision=got["commit"], pinned=got["entries"])
    assert again["entries"] == got["entries"]
    assert len(hub.log) == before
    assert fetch(tmp_path, None)["entries"] == got["entries"]  # HF_HUB_OFFLINE=1


@pytest.mark.parametrize("fault", [local.Fault(429, {"Retry-After": "1"}), local.Fault(503), local.Fault(body="half")])
def test_passing_faults_are_waited_out(tmp_path, hub, files, fault):
    hub.faults = {("GET", "weights.safetensors"): [fault]}
    got = fetch(tmp_path, hub)
    assert got["entries"]["a/weights.safetensors"] == [76800, sha256(files / "a/weights.safetensors")]
    assert sum(line.startswith("GET") and line.endswith("weights.safetensors") for line in hub.log) == 2


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda h: h.repos.clear(), "no repository 'someone/sae'"),
        (lambda h: h.faults.update({("GET", "weights.safetensors"): [local.Fault(503)] * 9}), "answered 503"),
        (lambda h: h.faults.update({("GET", "/revision/main"): [local.Fault(429)] * 9}), "answered 429"),
        (lambda h: h.gated.add(REPO), "gated: accept its licence at .*/someone/sae.*HF_TOKEN"),
        (lambda h: h.faults.update({("GET", "weights.safetensors"): [local.Fault(body="flipped")]}), "has sha256"),
    ],
)
def test_lasting_faults_are_one_sentence(tmp_path, hub, damage, says):
    damage(hub)
    got = fetch(tmp_path, hub)
    assert re.search(says, got["error"]), got
    assert "\n" not in got["error"]


def test_a_flipped_byte_is_caught_before_use_and_the_next_try_is_clean(tmp_path, hub, files):
    hub.faults = {("GET", "weights.safetensors"): [local.Fault(body="flipped")]}
    assert "run the same line again" in fetch(tmp_path, hub)["error"]
    assert fetch(tmp_path, hub)["entries"]["a/weights.safetensors"][1] == sha256(files / "a/weights.safetensors")


def test_a_missing_file_names_what_to_check(tmp_path, hub):
    got = fetch(tmp_path, hub, names=["b/weights.safetensors"])
    assert "no file 'b/weights.safetensors'" in got["error"]


def test_a_revision_that_moved_changes_nothing_and_one_that_vanished_is_named(tmp_path, hub, files):
    got = fetch(tmp_path, hub)
    moved = tmp_path / "moved"
    (moved / "a").mkdir(parents=True)
    for name in ("weights.safetensors", "cfg.json"):
        (moved / "a" / name).write_bytes(b"other")
    hub.add(REPO, moved, commit=local.OLD)  # main is another commit now
    pinned = fetch(tmp_path / "elsewhere", hub, revision=got["commit"], pinned=got["entries"])
    assert pinned["entries"] == got["entries"]
    del hub.repos["models", REPO][local.COMMIT]
    gone = fetch(tmp_path / "a third", hub, revision=got["commit"], pinned=got["entries"])
    assert "no revision" in gone["error"]
    assert "fetch_paper" in gone["error"]


def test_a_replaced_file_under_a_pinned_commit_is_refused(tmp_path, hub, files):
    got = fetch(tmp_path, hub)
    (files / "a/cfg.json").write_text("[]")
    assert "sha256" in fetch(tmp_path / "elsewhere", hub, revision=got["commit"], pinned=got["entries"])["error"]


def test_without_network_and_cache_it_says_so(tmp_path):
    got = fetch(tmp_path, None)
    assert got["kind"] == "UnreachableError"
    assert REPO in got["error"]


def test_a_token_opens_a_gated_repository_and_is_never_printed(tmp_path, hub):
    hub.gated.add(REPO)
    got = fetch(tmp_path, hub, HF_TOKEN="hf_thisIsNoRealToken")
    assert got["commit"] == local.COMMIT
    assert any("thisIsNoRealToken" in t for t in hub.tokens)
    hub.faults = {("GET", "/revision/main"): [local.Fault(403)] * 9}
    refused = fetch(tmp_path, hub, HF_TOKEN="hf_thisIsNoRealToken")
    assert "thisIsNoRealToken" not in got["all"] + refused["all"]
