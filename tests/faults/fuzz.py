"""Damage of every kind to everything that is read, and what comes of it.

``python -m tests.faults.fuzz N SEED``: N mutations; exit status 1 and the cases, if one of them is silent or unclean.
Clean is a message of at most three lines that names the thing (see :mod:`rsae.cli.errors`). What this project writes
itself must, besides, come back equal or not at all. A process of its own: a crash of a library shows in its exit
status, and the shapes that tests check elsewhere are not checked here, as in a real run.
"""

import contextlib
import functools
import io
import json
import random
import re
import resource
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from rsae.api import from_text
from rsae.cli import errors
from rsae.config.load import load
from rsae.config.suite import Suite
from rsae.config.types import Kind
from rsae.data.activations import shard_writer, shards
from rsae.data.text import datasets, tokens
from rsae.evaluate import per_document
from rsae.rational.safe_pade import SafePade
from rsae.runtime.checkpoint import Checkpoint
from rsae.runtime.files import read_sealed, sealed, write_json
from rsae.sae import loading
from rsae.sae.gates.jumprelu import JumpReLU
from rsae.sae.gates.rational import Rational
from rsae.sae.gates.topk import TopK
from rsae.sae.model import LINEAR, SAE
from rsae.sae.refine.resolvent import Resolvent
from tests import checkpoints
from tests.faults.pipeline import SUITE

MEMORY = 12 << 30  # bytes of address space: a number in a file that asks for more fails here, and takes no machine down
D_IN, D_SAE = 8, 16
WORDS = [
    b"null",
    b"NaN",
    b"-1",
    b"1e999",
    b"99999999999999999999",
    b'"x"',
    b"[]",
    b"{}",
    b"true",
    b"0",
    b"../../x",
    b"\xff\xfe",
]


class Specimen(NamedTuple):
    """Something that is read."""

    path: Path  # a file, or a folder whose files are damaged one at a time
    read: Callable[[Path], Any]  # to something that can be compared
    own: bool  # written by this project: comes back equal or not at all


def specimens(folder: Path) -> dict[str, Specimen]:
    """One of each."""
    rng, w = np.random.default_rng(0), checkpoints.tensors(D_IN, D_SAE)
    index, x = np.arange(60, dtype=np.int32), rng.standard_normal((60, D_IN)).astype(np.float16)
    shard_writer.write(
        folder / "shards", [shards.Block(index // 20, index % 20, x)],
        n_tok=60, n_shards=2, dtype="float16", hook="h", documents=["a", "b", "c"], made_from={},
    )  # fmt: skip
    rows = [tokens.Row(i, f"document {i}", np.arange(3 + i, dtype=np.int32)) for i in range(4)]
    tokens.write(folder / "tokens.parquet", tokens.TokenRows(rows, True), {})
    columns = {"n_tok": np.arange(1.0, 4), "fired": rng.random((3, 16)) > 0.5}
    per_document.write(folder / "sums.parquet", {per_document.Cell("rsae", 0, "raw"): columns})
    write_json(folder / "fit.json", sealed({"num": [0.1, 0.5], "converged": True}))
    (folder / "suite.yaml").write_text(SUITE)
    said = [f"document {i} says “{'so ' * i}”" for i in range(12)]
    (folder / "text.jsonl").write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in said))
    pq.write_table(pa.table({"text": said}), folder / "text.parquet")

    def sae(gate: Any) -> SAE:
        return SAE(*(w[k] for k in LINEAR), gate=gate)

    form = SafePade(np.array([0.02, 0.5, 1.6, 1.2]), np.array([0.0, 0.1, 2.4]), 0.0)
    saes = {"rational": sae(Rational(form, torch.ones(1), torch.ones(1))), "jumprelu": sae(JumpReLU(w["threshold"]))}
    saes["refined"] = sae(TopK(3)).with_refinement(Resolvent(torch.zeros(D_SAE)))
    for name, one in saes.items():
        one.save(folder / name, {"arm": name})
    state = {"step": 3, "w": torch.arange(50.0), "nested": {"lr": [0.1]}}
    Checkpoint(folder / "state.pt", "key").save(state)

    found = {
        "shards": Specimen(folder / "shards", _shards, True),
        "tokens": Specimen(folder / "tokens.parquet", tokens.read, True),
        "sums": Specimen(folder / "sums.parquet", per_document.read, True),
        "sealed JSON": Specimen(folder / "fit.json", read_sealed, True),
        "checkpoint": Specimen(folder / "state.pt", _state, True),
        "text of an upgrade": Specimen(folder / "text.jsonl", lambda p: from_text.documents(str(p), 10**6), False),
        "text of a suite": Specimen(folder / "text.parquet", _text, False),
        "suite": Specimen(folder / "suite.yaml", lambda p: load(p, Suite), False),
    }
    found |= {f"own {name} SAE": Specimen(folder / name, _sae, True) for name in saes}
    foreign: dict[Kind, Path] = {
        "relu": checkpoints.sae_lens(folder / "foreign-relu", w),
        "topk": checkpoints.dictionary_learning(folder / "foreign-topk", "AutoEncoderTopK", w),
        "jumprelu": checkpoints.gemma_scope(folder / "foreign-jumprelu", w),
    }
    for kind, path in foreign.items():
        found[f"foreign {kind}"] = Specimen(path, functools.partial(loading.load, kind=kind, d_in=D_IN), False)
    return found


def _text(path: Path) -> Any:
    return list(datasets.from_files(path, "text", "line", None))


def _shards(path: Path) -> Any:
    opened = shards.Shards(path)
    return opened.load(), opened.manifest


def _sae(path: Path) -> Any:
    sae = SAE.load(path)
    return sae.state_dict(), sae.eps, sae.gate.described(), sae.apply_b_dec_to_input, sae.normalize_activations


def _state(path: Path) -> Any:
    state = Checkpoint(path, "key").load()
    if state is None:
        raise ValueError(f"{path} is not continued")
    return state


def damaged(raw: bytes, rng: random.Random) -> bytes:
    """One fault of a disk, a network or a hand."""
    at, n = rng.randrange(len(raw)), rng.choice([1, 4, 64, 1024])
    match rng.randrange(8):
        case 0:
            return raw[:at] + bytes([raw[at] ^ (1 << rng.randrange(8))]) + raw[at + 1 :]
        case 1:
            return raw[:at] + rng.randbytes(n) + raw[at + n :]
        case 2:
            return raw[:at]
        case 3:
            return raw[:at] + bytes(len(raw[at : at + n])) + raw[at + n :]
        case 4:
            return raw[:at] + raw[at + n :]
        case 5:
            return raw[:at] + raw[at : at + n] * 2 + raw[at + n :]
        case 6:
            return raw[: -min(n, len(raw) - 1)] + rng.randbytes(8)
        case _:  # a value of another kind, where there are values
            values = list(re.finditer(rb"-?\d+\.?\d*|true|false|null|\"[^\"]{0,40}\"", raw)) or [re.match(b"", raw)]
            value = rng.choice(values)
            assert value is not None
            return raw[: value.start()] + rng.choice(WORDS) + raw[value.end() :]


def same(a: Any, b: Any) -> bool:
    """Equal through and through, arrays to the bit."""
    if isinstance(a, torch.Tensor):
        a, b = a.numpy(), b.numpy()
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def run(n: int, seed: int) -> list[str]:
    """The cases that were not clean."""
    rng, odd, refused = random.Random(seed), [], 0
    with tempfile.TemporaryDirectory() as name:
        known = specimens(Path(name))
        wanted = {key: s.read(s.path) for key, s in known.items()}
        for i in range(n):
            key = list(known)[i % len(known)]
            specimen = known[key]
            files = sorted(p for p in specimen.path.rglob("*") if p.is_file()) or [specimen.path]
            file = rng.choice(files)
            raw = file.read_bytes()
            altered = damaged(raw, rng)
            file.write_bytes(altered)
            case = f"case {i} of seed {seed}: {key}, {file.name}"
            try:
                with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found = specimen.read(specimen.path)
            except Exception as error:
                refused += 1
                said = errors.sentence(error)
                if said is None or len(said.splitlines()) > errors.LINES:
                    odd.append(f"{case}: {type(error).__name__}: {error}")
                elif specimen.path.name not in said:
                    odd.append(f"{case}: does not say what is wrong: {said}")
                elif not isinstance(error, ValueError):
                    odd.append(f"{case}: no ValueError but {type(error).__name__}: {said}")
            else:
                if specimen.own and not same(found, wanted[key]):
                    odd.append(f"{case}: read as if nothing were wrong")
            file.write_bytes(raw)
    print(f"{n} mutations, {refused} refused, {len(odd)} not clean")
    return odd


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    cases = run(int(sys.argv[1]), int(sys.argv[2]))
    sys.exit("\n".join(cases[:40]) or 0)
