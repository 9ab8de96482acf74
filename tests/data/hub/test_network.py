"""Without any way to the hub, a name on it is answered from the cache or by a sentence, and nothing is tried again."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rsae.data.hub import network
from tests import hub as local

ROOT = Path(__file__).resolve().parents[3]
NOWHERE = "http://nowhere.invalid"  # RFC 6761: never resolves
NO_PROXY = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "")
E = "assets/embedded"


def refused():
    """A port at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def upgrade(home, endpoint, **given):
    options = {"teacher": f"{E}/teachers/topk", "host": f"{E}/host", "text": "README.md", "max-tok": "4000"} | given
    line = [word for name, value in options.items() for word in (f"--{name}", value)]
    env = local.environment(home) | NO_PROXY | {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": endpoint}
    return subprocess.run(
        [sys.executable, "-m", "rsae", "upgrade", *line, "--out", str(home / "out"), "--steps", "0"],
        cwd=ROOT, env=env, capture_output=True, encoding="utf-8",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"host": "some/host"}, "no tokenizer in host some/host"),
        ({"text": "some/text"}, "some/text is not in the cache and the hub cannot be reached"),
        ({"teacher": "some/sae", "sae_id": "x"}, "x of some/sae is not in the cache and the hub cannot be reached"),
    ],
)
def test_a_name_on_the_hub_is_told_at_once(tmp_path, given, says):
    done = upgrade(tmp_path, NOWHERE, **{k.replace("_", "-"): v for k, v in given.items()})
    assert done.returncode == 1
    assert says in done.stderr
    assert "no network (nowhere.invalid: " in done.stderr
    assert "etry" not in done.stderr


def test_what_the_cache_holds_is_used_without_a_try(tmp_path):
    repo = tmp_path / "repo"
    repo.mkdir()
    (repo / "a.txt").write_text("held", encoding="utf-8")
    local.seed_cache(tmp_path / "home", "some/sae", repo)
    code = (
        "from rsae.data.hub import client\n"
        "got = client.fetch('some/sae', 'main', list)\n"
        "assert client.offline()\n"
        "print((got.folder / 'a.txt').read_text())"
    )
    env = local.environment(tmp_path / "home") | NO_PROXY | {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": NOWHERE}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, encoding="utf-8")
    assert done.stdout == "held\n", done.stderr


def test_a_server_that_answers_and_one_that_is_slow_are_no_missing_network(monkeypatch):
    monkeypatch.setattr(network, "getproxies", dict)
    assert "nowhere.invalid" in str(network._no_way(NOWHERE))
    assert "127.0.0.1" in str(network._no_way(refused()))
    with local.Hub().serve() as hub:
        assert network._no_way(hub.url) is None
        # a proxy is asked instead, and knows the way or not
        monkeypatch.setattr(network, "getproxies", lambda: {"http": hub.url})
        assert network._no_way(NOWHERE) is None
    monkeypatch.setattr(network, "getproxies", lambda: {"all": refused()})
    assert network._no_way("http://example.org") is not None

    def slow(*_):
        raise TimeoutError

    monkeypatch.setattr(network.socket, "create_connection", slow)
    assert network._no_way("http://example.org") is None


def test_a_name_that_resolves_the_second_time_is_no_missing_network(monkeypatch):
    answers = iter([socket.gaierror(-3, "Temporary failure in name resolution"), socket.socket()])

    def once(*_):
        found = next(answers)
        if isinstance(found, OSError):
            raise found
        return found

    monkeypatch.setattr(network, "getproxies", dict)
    monkeypatch.setattr(network.socket, "create_connection", once)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    assert network._no_way("https://example.org") is None


def test_a_process_that_lives_on_finds_the_network_again_and_keeps_what_its_user_said(monkeypatch, capsys):
    monkeypatch.setattr(network, "getproxies", dict)
    monkeypatch.setattr(network, "_reached", set())
    monkeypatch.setattr(network.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(network.constants, "ENDPOINT", refused())
    network.look()
    network.look()
    assert network.constants.HF_HUB_OFFLINE
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert capsys.readouterr().err.count("no network (127.0.0.1: ") == 1
    with local.Hub().serve() as hub:
        monkeypatch.setattr(network.constants, "ENDPOINT", hub.url)
        network.look()
        assert network.constants.HF_HUB_OFFLINE  # too soon
        monkeypatch.setattr(network, "AGAIN", 0.0)
        network.look()
    assert not network.constants.HF_HUB_OFFLINE
    assert "HF_HUB_OFFLINE" not in os.environ
    # one that was turned offline by its user is not turned on by us
    monkeypatch.setattr(network, "_reached", set())
    monkeypatch.setattr(network.constants, "HF_HUB_OFFLINE", True)
    network.look()
    network.back()
    assert network.constants.HF_HUB_OFFLINE
