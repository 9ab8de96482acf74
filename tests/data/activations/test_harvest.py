"""A harvest of several sites is that of each of them alone, to the byte."""

from pathlib import Path

import numpy as np
import pytest

from rsae.data.activations import shards
from rsae.data.activations.host import Host
from rsae.data.text import tokens
from rsae.stages.inputs import harvest

HOST = Path("assets/embedded/host")
HOOKS = ("blocks.1.hook_resid_post", "blocks.3.hook_resid_pre")


def test_sites_that_are_harvested_together_are_those_that_are_harvested_alone(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    rows = [tokens.Row(i // 2, f"document {i // 2}", rng.integers(1, 2048, 20 + i).astype(np.int32)) for i in range(40)]
    tokens.write(tmp_path / "tokens.parquet", tokens.TokenRows(rows, False), {})
    sites = [{"hook": hook, "center_writing_weights": hook == HOOKS[1]} for hook in HOOKS]
    runs, base = [], Host.captures
    monkeypatch.setattr(Host, "captures", lambda self, ids, at: runs.append(len(at)) or base(self, ids, at))

    def run(folder: str, numbers: list[int]) -> dict[str, bytes]:
        out = [tmp_path / folder / str(i) for i in numbers]
        harvest.run(
            tmp_path / "tokens.parquet", HOST, out, tmp_path / "kept", sites=[sites[i] for i in numbers],
            dtype="float32", n_shards=3,
        )  # fmt: skip
        return {str(p.relative_to(tmp_path / folder)): p.read_bytes() for p in (tmp_path / folder).rglob("*.*")}

    together = run("together", [0, 1])
    assert runs == [2, 2]  # batches of 32 rows: the host ran twice
    assert {**run("alone", [0]), **run("alone", [1])} == together
    assert len(together) == 2 * (3 + 1)
    centred = shards.Shards(tmp_path / "together/1").load()
    assert np.abs(centred.x.mean(1)).max() < 1e-5
    assert centred.position[:25].tolist() == [*range(20), *range(20, 25)]  # a document goes on in its next row
    assert not list((tmp_path / "kept").rglob("*.parquet"))

    class OutError(Exception):
        """The power goes out."""

    def once(self, ids, at, seen=[]):  # noqa: B006
        seen.append(1)
        if len(seen) > 1:
            raise OutError
        return base(self, ids, at)

    with monkeypatch.context() as patch:
        patch.setattr(Host, "captures", once)
        with pytest.raises(OutError):
            run("again", [0, 1])
    kept = [p.relative_to(tmp_path / "kept/shards") for p in (tmp_path / "kept/shards").rglob("*.parquet")]
    assert kept
    assert {p.name for p in kept if p.parts[0] == "0"} == {p.name for p in kept if p.parts[0] == "1"}
    assert run("again", [0, 1]) == together
