"""``rsae upgrade`` with names instead of folders: host and SAE come from a (local) hub."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from rsae.api.from_text import documents, tokenised
from rsae.api.inputs import activations_of
from tests import hub as local
from tests import tiny

EMBEDDED = Path("assets/embedded")
RUN = """
import json, sys
from rsae.cli import errors
from rsae.cli import app
for arguments in json.loads(sys.argv[1]):
    try:
        app(arguments, standalone_mode=False)
    except ValueError as error:
        print("rsae:", errors.sentence(error))
"""


@pytest.fixture
def hub(tmp_path):
    """The embedded host, its TopK teacher, and its ReLU teacher where sae_lens's registry knows one."""
    known = tmp_path / "known"
    shutil.copytree(EMBEDDED / "teachers/relu", site := known / "blocks.8.hook_resid_pre")
    # that release's files are of sae_lens's first layout, to which its registry adds what it knows
    old = json.loads((site / "cfg.json").read_text())
    old |= {"hook_point": old.pop("metadata")["hook_name"], "activation_fn_str": "relu", "context_size": 64}
    (site / "cfg.json").write_text(json.dumps(old))
    with local.Hub().serve() as served:
        served.add("someone/host", EMBEDDED / "host")
        served.add("someone/saes", EMBEDDED / "teachers")
        served.add("jbloom/GPT2-Small-SAEs-Reformatted", known)
        (tmp_path / "texts").mkdir()
        pq.write_table(pa.table({"text": tiny.sentences(60, 0)}), tmp_path / "texts/train-00000.parquet")
        served.add("someone/texts", tmp_path / "texts", "datasets")
        yield served


def test_host_and_sae_by_name(tmp_path, hub):
    found = (getattr(np, name).__doc__ for name in sorted(np.__all__))
    text = [" ".join(doc.split())[:300] for doc in found if isinstance(doc, str) and len(doc) > 300][:40]
    (tmp_path / "text.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in text))
    options = f"--text {tmp_path / 'text.jsonl'} --ctx 64 --steps 0 --max-tok 3000".split()

    def line(teacher, sae_id, host, out):
        return [
            "upgrade",
            "--teacher",
            teacher,
            "--sae-id",
            sae_id,
            "--host",
            host,
            "--out",
            f"{tmp_path / out}",
            *options,
        ]

    lines = [
        line("someone/saes", "topk", "someone/host", "repository"),
        line("gpt2-small-res-jb", "blocks.8.hook_resid_pre", "someone/host", "release"),
        [*line("someone/saes", "topk", "someone/host", "dataset"), "--text", "someone/texts", "--max-tok", "9000"],
        line("someone/saes", "gelu", "someone/host", "no-sae"),
        line("someone/saes", "topk", "someone/hots", "no-host"),
        ["upgrade", "--teacher", "someone/saes", "--host", "someone/host", "--out", f"{tmp_path / 'no-id'}", *options],
    ]
    environment = local.environment(tmp_path / "home", hub)
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(lines)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    # the release's registry has its input centred, which this stand-in was not trained for
    for out, l0, within in (("repository", 24, 0.15), ("release", 26, 0.35)):
        run_card = json.loads((tmp_path / out / "run-card.json").read_text())
        assert (run_card["arm"], run_card["steps"]) == ("resolvent_init", 0)
        # sae_lens's registry says it of this release; the other's own files say no such thing
        assert run_card["center_writing_weights"] == (out == "release")
        rows = [line.split(",") for line in (tmp_path / out / "cells.csv").read_text().splitlines()]
        assert list(dict.fromkeys(row[3] for row in rows[1:])) == ["teacher", "resolvent_init"]
        assert "delta_ce" in {row[6] for row in rows}
        (teacher,) = (float(row[7]) for row in rows if row[3:7] == ["teacher", "0", "hard", "l0"])
        assert teacher == pytest.approx(l0, rel=within)  # of these few documents; published are 24.0 and 25.9
        assert (tmp_path / out / "README.md").is_file()
    n_tok = json.loads((tmp_path / "dataset/run-card.json").read_text())["n_tok"]
    assert 8800 < sum(n_tok.values()) <= 9000  # whole rows of the dataset's text
    refused = [line for line in done.stdout.splitlines() if line.startswith("rsae:")]
    assert len(refused) == 3
    for sentence, says in zip(refused, ("gelu", "someone/hots", "give --sae-id"), strict=True):
        assert says in sentence
    assert not (tmp_path / "no-sae").exists()


def test_a_text_by_its_name_in_the_configuration(tmp_path, monkeypatch):
    (tmp_path / "config/text").mkdir(parents=True)
    (tmp_path / "notes.txt").write_text("\n\n".join(f"paragraph {i}" for i in range(9)))
    (tmp_path / "config/text/mine.yaml").write_text("source: files\npath: notes.txt\n")
    monkeypatch.chdir(tmp_path)
    assert [text for _, text in documents("mine", 4)] == [f"paragraph {i}" for i in range(4)]
    assert len(documents("notes.txt", 4)) == 9  # a file is taken whole
    with pytest.raises(ValueError, match="no file nowhere, no text of that name in config/text, no dataset"):
        documents("nowhere", 4)


@pytest.mark.parametrize("centred", [True, False])
def test_activations_are_centred_where_the_sae_was_trained_on_such(centred):
    ids = torch.from_numpy(np.random.default_rng(0).integers(5, 500, (3, 20)))
    x = activations_of(ids, None, EMBEDDED / "host", "blocks.1.hook_resid_post", centred).x
    means = x.mean(1).abs().max()
    assert means < 1e-5 if centred else means > 1e-3


def test_rows_are_those_that_the_sae_was_trained_on(tmp_path):
    """What it says of itself holds; a caller completes it, and cannot contradict it."""
    (tmp_path / "text.txt").write_text("\n\n".join(tiny.sentences(30, 0)))
    said = {"context_size": 9, "prepend_bos": False}
    for metadata, ctx, bos, wanted in (
        (said, None, None, (9, False)),
        (said, 7, False, (7, False)),
        ({}, 7, None, (7, True)),
        ({}, 7, False, (7, False)),
    ):
        rows = tokenised(str(tmp_path / "text.txt"), str(EMBEDDED / "host"), metadata, ctx, bos, 300)
        assert (max(len(row.ids) for row in rows.rows), rows.bos) == wanted
        assert 0 < sum(len(row.ids) - rows.bos for row in rows.rows) <= 300
    with pytest.raises(ValueError, match="prepend_bos: False in its files, and prepend_bos: True is stated"):
        tokenised(str(tmp_path / "text.txt"), str(EMBEDDED / "host"), said, 7, True, 300)
