"""Files of a finished run, damaged: the command that reads them says which, and what to do.

Shards, foreign teachers and the checkpoint have tests of their own (tests/data, tests/sae/loading,
tests/runtime/test_checkpoint.py); here is everything else, and the whole as a person meets it.
"""

import json

import pytest

from rsae.api import model_card
from rsae.data.activations.shards import Shards
from rsae.evaluate import per_document
from rsae.runtime.files import read_sealed, reading
from rsae.sae.model import SAE
from tests.faults import pipeline

PAIR = f"--host {pipeline.HOST} --teacher {pipeline.TEACHER}"
RUN = f"results/tiny/{pipeline.HOST}"
ARM = f"{RUN}/relu/rsae/seed-0"
# a file, and the command that reads it
READ = {
    "results/tiny/text/finetune.jsonl": f"tokens --host {pipeline.HOST} --split finetune",
    "results/tiny/text/manifest.json": f"tokens --host {pipeline.HOST} --split finetune",
    f"{RUN}/tokens/test.parquet": f"evaluate-downstream {PAIR}",
    f"{RUN}/activations/test/manifest.json": f"evaluate-reconstruction {PAIR}",
    f"{RUN}/activations/test/shard-00001.parquet": f"evaluate-reconstruction {PAIR}",
    "results/gates/relu/3-2.json": f"init {PAIR} --arm rsae_init",
    f"{ARM}/sae/cfg.json": f"evaluate-reconstruction {PAIR}",
    f"{ARM}/sae/sae_weights.safetensors": f"evaluate-reconstruction {PAIR}",
    f"{ARM}/training.json": "tables --suite tiny",
    f"{RUN}/relu/reconstruction.parquet": "tables --suite tiny",
}


def flip(raw, at=None):
    """The lowest bit of one byte, which leaves a digit a digit; among the values, not in what Parquet says twice.

    (Every other place: tests/faults/fuzz.py, where damage that changes no value may pass.)
    """
    at = len(raw) // 4 if at is None else at
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


DAMAGE = {
    "a flipped bit": flip,
    "a flipped bit near the end": lambda raw: flip(raw, len(raw) - 20),
    "the second half": lambda raw: raw[: len(raw) // 2],
    "the footer": lambda raw: raw[:-8],
    "everything, for zeros": lambda raw: bytes(len(raw)),
    "everything": lambda raw: b"",
}


@pytest.mark.parametrize("name", READ)
def test_damage_stops_the_command_that_reads_it(project, rsae, name):
    path = project / name
    whole, before = path.read_bytes(), results(project)
    for what, damage in DAMAGE.items():
        path.write_bytes(damage(whole))
        said = rsae(READ[name])
        folder = path.parent if "activations" in name or path.parent.name == "sae" else path
        assert folder.name in said, (what, said)
        assert "again" in said, (what, said)
    path.unlink()
    assert path.name in rsae(READ[name])
    path.write_bytes(whole)
    assert results(project) == before  # nothing else was touched, nothing half-written


def results(folder):
    """All but what an evaluation keeps of the SAEs that it had judged before it met the damaged one."""
    return {name: content for name, content in pipeline.results(folder).items() if "checkpoints" not in name}


def test_a_shard_that_no_manifest_names_is_not_read(project):
    folder = project / f"{RUN}/activations/test"
    wanted = Shards(folder).load()
    (folder / "shard-00002.parquet").write_bytes((folder / "shard-00000.parquet").read_bytes())
    assert Shards(folder).load().x.tobytes() == wanted.x.tobytes()


def test_what_an_older_version_wrote_is_refused_with_the_remedy(project, rsae):
    manifest = project / f"{RUN}/activations/test/manifest.json"
    old = json.loads(manifest.read_text())
    del old["sha256"]
    manifest.write_text(json.dumps(old | {"version": 1}))
    assert "older version" in rsae(f"evaluate-reconstruction {PAIR}")
    # the judgement of a version that lacked a column, and any seal
    import pyarrow.parquet as pq

    path = project / f"{RUN}/relu/reconstruction.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["effective"]).replace_schema_metadata(None), path)
    said = rsae("tables --suite tiny")
    assert "older version" in said
    assert "delete it and run again" in said
    with pytest.raises(ValueError, match="reconstruction"):
        per_document.read(path)


def test_an_sae_without_a_seal_is_read_for_others_write_none(project):
    path = project / f"{ARM}/sae/cfg.json"
    cfg = json.loads(path.read_text())
    eps = SAE.load(path.parent).eps
    path.write_text(json.dumps({k: v for k, v in cfg.items() if k not in ("sha256", "weights_sha256")}))
    assert SAE.load(path.parent).eps == eps
    path.write_text(json.dumps(cfg | {"support_eps": 2 * eps + 1}))
    with pytest.raises(ValueError, match=r"cfg\.json is truncated or altered.*make it again"):
        SAE.load(path.parent)


def test_numbers_changed_by_hand_are_noticed(project, rsae):
    cells = project / "results/tiny/tables/cells.csv"
    text = cells.read_text()
    cells.write_text(text.replace("0.9", "0.8", 1))
    assert cells.read_text() != text
    # the run card too: Snakemake makes it again when a table is younger, and must not vouch for it
    for line in ("check", "archive", "expect", "run-card"):
        said = rsae(f"{line} --suite tiny")
        assert "cells.csv was changed after it was made" in said, line
        assert "--forcerun tables" in said
    with pytest.raises(ValueError, match=r"cells\.csv was changed after it was made"):
        model_card.measured(project / f"{ARM}/sae")
    cells.write_text(text)
    assert "no readable reference numbers" in rsae("check --suite tiny")  # past the digest: the tiny suite expects none
    table = project / "results/tiny/tables/strict.md"
    table.write_text(table.read_text().replace("win", "loss", 1))
    assert "strict.md was changed after it was made" in rsae("show --suite tiny")


def test_what_a_library_raises_becomes_one_sentence_and_what_is_no_fault_of_the_file_passes(tmp_path):
    for error in (RuntimeError("two\nlines"), KeyError("x"), RecursionError(), OSError("corrupt")):
        message = r"^a\.bin is truncated or altered \(.*\); fetch it$"
        with pytest.raises(ValueError, match=message), reading("a.bin", "fetch it"):
            raise error
    for passes in (PermissionError("no"), MemoryError()):
        with pytest.raises(type(passes)), reading("a.bin", "fetch it"):
            raise passes
    with pytest.raises(ValueError, match="is missing; delete it"):
        read_sealed(tmp_path / "none.json")
