"""Uploads through the real huggingface_hub to a local hub, and back through sae_lens."""

import csv
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard

from rsae.api import model_card
from rsae.api import push as push_module
from rsae.data.hub import client
from rsae.report.stats.cells import COLUMNS
from rsae.sae.gates.topk import TopK
from tests import hub as local
from tests.upgraded import activations, make

REPO, TOKEN = "someone/saes", "hf_thisMustNeverBePrinted"
NUMBERS = {"mse_sum": (4.5, 4.25, 4.75), "l0": (20.0, 19.5, 20.5)}  # value, low, high


@pytest.fixture
def sae_dir(tmp_path):
    """An SAE where the workflow leaves it, with a suite's numbers."""
    folder = tmp_path / "results/mine/host/relu/rsae/seed-1/sae"
    make("rational").save(folder, {"arm": "rsae", "hook_name": "blocks.1.hook_resid_post"})
    tables = tmp_path / "results/mine/tables"
    tables.mkdir(parents=True)
    with open(tables / "cells.csv", "w") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for teacher in ("relu", "other"):
            for arm, seed in [("teacher", 0), ("teacher_ft", 0), ("rsae", 0), ("rsae", 1)]:
                for support in ("raw", "hard"):
                    for i, (metric, (v, low, high)) in enumerate(NUMBERS.items()):
                        shift = 100 * (teacher == "other") + 10 * seed + (arm == "teacher") + i
                        row = ["mine", "host", teacher, arm, seed, support, metric]
                        writer.writerow([*row, v + shift, "unit", low + shift, high + shift, 1234, 1])
    return folder


@pytest.fixture
def hub(tmp_path):
    (tmp_path / "uploads").mkdir()
    with local.Hub(tmp_path / "uploads").serve() as served:
        yield served


def run(tmp_path, hub, *code, token: str | None = TOKEN):
    own = {"HF_TOKEN": token} if token else {}
    done = subprocess.run(
        [sys.executable, *code], env=local.environment(tmp_path / "home", hub) | own, capture_output=True, text=True
    )
    assert TOKEN not in done.stdout + done.stderr
    return done


def push(tmp_path, hub, *arguments, **kwargs):
    return run(tmp_path, hub, "-m", "rsae", "push", *map(str, arguments), **kwargs)


def test_an_uploaded_sae_comes_back_through_sae_lens(tmp_path, hub, sae_dir):
    done = push(tmp_path, hub, sae_dir, REPO, "--private")
    assert done.returncode == 0, done.stderr
    commit = hub.main["models", REPO]
    assert f"{REPO}/rsae at commit {commit}, with its numbers" in done.stdout
    assert hub.created[0]["visibility"] == "private"
    assert hub.tokens
    assert set(hub.tokens) == {f"Bearer {TOKEN}"}
    # a second SAE beside the first
    make("resolvent on topk").save(tmp_path / "alone", {"arm": "resolvent"})
    done = push(tmp_path, hub, tmp_path / "alone", REPO)
    assert "without numbers" in done.stdout
    folder = hub.repos["models", REPO][hub.main["models", REPO]]
    assert (folder / "rsae/cfg.json").read_bytes() == (sae_dir / "cfg.json").read_bytes()
    torch.save(activations(), tmp_path / "x.pt")
    code = f"""
import json, sys, torch
import rsae.saelens
from sae_lens import SAE
x = torch.load({str(tmp_path / "x.pt")!r})
y = [SAE.from_pretrained({REPO!r}, place)(x).detach() for place in ("rsae", "resolvent")]
torch.save(y, {str(tmp_path / "y.pt")!r})
"""
    done = run(tmp_path, hub, "-c", code, token=None)
    assert done.returncode == 0, done.stderr
    for found, name in zip(torch.load(tmp_path / "y.pt"), ("rational", "resolvent on topk"), strict=True):
        sae, x = make(name), activations()
        torch.testing.assert_close(found, sae.decode(sae.hard(sae.encode(x)), x), rtol=1e-5, atol=1e-5)


def test_mistakes_and_refusals_are_one_sentence_and_the_next_try_succeeds(tmp_path, hub, sae_dir):
    hub.faults = {
        ("POST", "/api/repos/create"): [local.Fault(403)],
        ("POST", "objects/batch"): [local.Fault(403)],
        ("POST", "/commit/main"): [local.Fault(429)],
    }
    tries = [(tmp_path, REPO), (sae_dir, "a/b/c"), *[(sae_dir, REPO)] * 4]
    code = """
import json, pathlib, sys
from rsae.api.push import push
for folder, repo in json.loads(sys.argv[1]):
    try:
        print(push(pathlib.Path(folder), repo))
    except ValueError as error:
        print(error)
"""
    done = run(tmp_path, hub, "-c", code, json.dumps([(str(f), r) for f, r in tries]))
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    for line, says in zip(
        told,
        [
            "holds no cfg.json; give the folder of an SAE, such as",
            "is no name of a",
            "does not let this",
            "does not let this",
            "answered 429",
            "at commit",
        ],
        strict=True,
    ):
        assert says in line


def test_without_a_token_nothing_is_sent(tmp_path, hub, sae_dir):
    done = push(tmp_path, hub, sae_dir, REPO, token=None)
    assert done.returncode == 1
    assert "environment variable HF_TOKEN" in done.stderr
    assert "Traceback" not in done.stderr
    assert hub.log == []


def test_the_card_says_codes_intervals_hashes_and_controls(sae_dir):
    numbers = model_card.measured(sae_dir)
    made = model_card.model_card(sae_dir, REPO, "rsae", numbers)
    text = str(made)
    assert "| **rsae**   | hard    | 14.5 [14.25, 14.75] |" in text  # seed 1 of teacher relu: 4.5 + 10
    assert "| teacher_ft | hard    | 4.5 [4.25, 4.75]" in text
    assert "not run" in text  # delta_ce has no row
    assert "> 0.3" in text  # the support rule with the SAE's own eps
    assert "1234 activations" in text
    for name in model_card.FILES:
        assert hashlib.sha256((sae_dir / name).read_bytes()).hexdigest() in text
    assert "import rsae.saelens" in text
    assert 'SAE.from_pretrained("someone/saes", "rsae")' in text
    again: Any = ModelCard(text)  # what a hub parses
    (mse,) = [
        r
        for r in again.data.eval_results
        if r.metric_type == "mse_sum" and r.metric_name == "mse_sum, hard codes, rsae"
    ]
    assert mse.metric_value == 14.5
    assert mse.metric_args["ci_low"] == 14.25
    assert (mse.metric_args["codes"], mse.metric_args["support_eps"], mse.metric_args["n_tok"]) == ("hard", 0.3, 1234)
    assert {r.metric_args["arm"] for r in again.data.eval_results} == {"rsae", "teacher", "teacher_ft"}


def test_a_missing_control_is_said(sae_dir):
    cells = sae_dir.parents[4] / "tables/cells.csv"
    cells.write_text("\n".join(line for line in cells.read_text().splitlines() if "teacher_ft" not in line) + "\n")
    assert "Not run: teacher_ft, so nothing is claimed" in str(
        model_card.model_card(sae_dir, REPO, "p", model_card.measured(sae_dir))
    )
    cells.write_text(cells.read_text().replace("rsae,1", "rsae,7"))
    with pytest.raises(ValueError, match="no number of rsae, seed 1"):
        model_card.measured(sae_dir)


def test_a_gate_that_sae_lens_has_needs_no_import(tmp_path, make_sae):
    folder = tmp_path / "sae"
    make_sae(TopK(4)).save(folder, {"arm": "teacher"})
    text = str(model_card.model_card(folder, REPO, "topk", None))
    assert "import rsae" not in text
    assert "uploaded without numbers" in text
    assert json.loads((folder / "cfg.json").read_text())["architecture"] == "topk"


def altered(folder, **cfg):
    said = json.loads((folder / "cfg.json").read_text())
    (folder / "cfg.json").write_text(json.dumps({k: v for k, v in (said | cfg).items() if v is not None}))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f: altered(f, metadata=None), "written by another program, or by an older version"),
        (lambda f: altered(f, sha256=None), "written by another program, or by an older version"),
        (lambda f: altered(f, d_in=9), r"cfg\.json is truncated or altered"),
        (lambda f: (f / "cfg.json").write_text("[1]"), "written by another program"),
        (lambda f: (f / "cfg.json").write_text('{"architecture'), r"cfg\.json is truncated or altered"),
        (lambda f: (f / "sae_weights.safetensors").write_bytes(b"x" * 99), r"safetensors is truncated or altered"),
        (lambda f: (f.parent / "cells.csv").write_text("arm,metric,value\nrsae,mse,3\n"), "has no column suite"),
        (lambda f: (f.parent / "cells.csv").write_text(",".join(COLUMNS) + "\n"), "has no number of rsae, seed 0"),
    ],
)
def test_an_old_a_foreign_or_a_damaged_folder_is_refused_before_anything_is_uploaded(
    tmp_path, monkeypatch, spoil, says
):
    make("rational").save(tmp_path / "out/sae", {"arm": "rsae"})
    uploaded = []
    monkeypatch.setattr(client, "upload", lambda *given: uploaded.append(given) or "c0ffee")
    assert "commit c0ffee, without numbers" in push_module.push(tmp_path / "out/sae", REPO)
    spoil(tmp_path / "out/sae")
    with pytest.raises(ValueError, match=says):
        push_module.push(tmp_path / "out/sae", REPO)
    assert len(uploaded) == 1


def test_sae_lenss_own_folder_is_refused_and_the_folder_around_an_sae_says_which_to_give(tmp_path):
    with pytest.raises(ValueError, match="written by another program"):
        push_module.push(Path("assets/embedded/teachers/topk"), REPO)
    make("rational").save(tmp_path / "sae", {"arm": "rsae"})
    with pytest.raises(ValueError, match=f"holds no cfg.json; give {tmp_path}/sae"):
        push_module.push(tmp_path, REPO)
