"""The tables of the quick suite against plain torch and transformers, none of the project's metric code."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from rsae.plan import load_plans
from rsae.runtime import matmul
from rsae.sae.gates import kernels

LAYER = 1  # blocks.1.hook_resid_post
GATES = {"relu": "standard", "jumprelu": "jumprelu", "topk": "topk"}


@pytest.fixture(scope="module")
def found(quick):
    frame = pd.read_csv(quick.folder / "results/quick/tables/cells.csv")
    return frame.set_index(["teacher", "arm", "seed", "support", "metric"])["value"]


@pytest.fixture(scope="module")
def activations(quick):
    folder = quick.folder / "results/quick/gpt2-docs-quick/activations/test"
    rows = []
    for path in sorted(folder.glob("*.parquet")):
        rows += pq.read_table(path)["activation"].to_pylist()
    return torch.from_numpy(np.stack([np.frombuffer(r, np.float16) for r in rows]).astype(np.float32))


def load(quick, teacher, arm):
    folder = quick.folder / f"results/quick/gpt2-docs-quick/{teacher}/{arm}/seed-0/sae"
    return json.loads((folder / "cfg.json").read_text()), load_file(folder / "sae_weights.safetensors")


def codes(cfg, w, x, support):
    """Written from the definitions alone."""
    gate = cfg.get("gate", cfg)  # sae_lens's own gates lie flat
    h = (x - w["b_dec"]) @ w["W_enc"] + w["b_enc"]
    match gate["architecture"]:
        case "standard":
            z = torch.where(h > 0, h, 0)
        case "jumprelu":
            z = torch.where(h > w["threshold"], h, 0)
        case "topk":
            kth = h.sort(dim=1, descending=True).values[:, gate["k"] - 1 : gate["k"]]
            z = torch.where((h >= kth) & (h > 0), h, 0)
        case _:
            t = (h / w["c_in"]).double()
            assert not gate["tail"]
            u = t - gate["center"]
            p = sum(c * u**i for i, c in enumerate(w["num"].double()))
            a = sum(c * u**i for i, c in enumerate(w["den"].double()))
            z = (w["c_out"] * p / (1 + abs(a))).float()
    if support == "hard":
        z = torch.where(z.abs() * w["W_dec"].norm(dim=1) > cfg["support_eps"], z, 0)
    return z


CASES = [
    (teacher, arm, support)
    for teacher in GATES
    for arm, support in (("teacher", "raw"), ("teacher_ft", "hard"), ("rsae_init", "raw"), ("rsae", "hard"))
]


@pytest.mark.parametrize(("teacher", "arm", "support"), CASES)
def test_mse_and_l0(quick, found, activations, teacher, arm, support):
    cfg, w = load(quick, teacher, arm)
    assert cfg["architecture"] == (GATES[teacher] if arm.startswith("teacher") else "rsae (import rsae.saelens)")
    z = codes(cfg, w, activations, support)
    error = (activations - (z @ w["W_dec"] + w["b_dec"])).double().square().sum(1).mean()
    spread = (activations - activations.mean(0)).double().square().sum(1).mean()
    cell = found[teacher, arm, 0, support]
    assert cell["mse_sum"] == pytest.approx(float(error), rel=1e-5)
    assert cell["mse_mean"] == pytest.approx(float(error) / 128, rel=1e-5)
    assert cell["fvu"] == pytest.approx(float(error / spread), rel=1e-5)
    # a code within rounding of the threshold may fall on either side of it
    assert cell["l0"] == pytest.approx(float((z != 0).double().sum(1).mean()), abs=2e-3)
    assert cell["alive"] == pytest.approx(float((z != 0).any(0).double().mean()), abs=2e-3)


@pytest.mark.parametrize(("teacher", "arm", "support"), CASES)
def test_cross_entropies(quick, found, teacher, arm, support):
    cfg, w = load(quick, teacher, arm)
    host: Any = AutoModelForCausalLM.from_pretrained(quick.folder / "assets/embedded/host")
    table = pq.read_table(quick.folder / "results/quick/gpt2-docs-quick/tokens/test.parquet")
    replace = None

    def splice(module, inputs, output):
        hidden = output[0] if isinstance(output, tuple) else output
        if replace is None:
            return output
        new = hidden.clone()
        new[:, 1:] = replace(hidden[0, 1:])  # position 0 is BOS
        return (new, *output[1:]) if isinstance(output, tuple) else new

    host.transformer.h[LAYER].register_forward_hook(splice)
    ways = {
        "ce_clean": None,
        "ce_zero": torch.zeros_like,
        "ce_spliced": lambda x: codes(cfg, w, x, support) @ w["W_dec"] + w["b_dec"],
    }
    total, kl, n = dict.fromkeys(ways, 0.0), 0.0, 0
    for ids in table["ids"].to_pylist()[:]:
        assert ids[0] == 0
        assert 0 not in ids[1:]
        row, log_p = torch.tensor([ids]), {}
        for name, replace in ways.items():  # noqa: B007 (read by the hook)
            with torch.no_grad():
                log_p[name] = host(row).logits[0, 1:-1].double().log_softmax(-1)  # predictions made at text
            total[name] -= float(log_p[name].gather(1, row[0, 2:, None]).sum())
        clean = log_p["ce_clean"]
        kl += float((clean.exp() * (clean - log_p["ce_spliced"])).sum())
        n += len(ids) - 2
    cell = found[teacher, arm, 0, support]
    ce = {name: value / n for name, value in total.items()}
    for name in ways:
        assert cell[name] == pytest.approx(ce[name], abs=1e-4), name
    assert cell["delta_ce"] == pytest.approx(ce["ce_spliced"] - ce["ce_clean"], abs=1e-4)
    recovered = (ce["ce_zero"] - ce["ce_spliced"]) / (ce["ce_zero"] - ce["ce_clean"])
    assert cell["loss_recovered_zero"] == pytest.approx(recovered, abs=1e-4)
    assert cell["kl"] == pytest.approx(kl / n, abs=1e-4)


def test_the_support_was_frozen_on_the_threshold_documents(quick):
    folder = quick.folder / "results/quick/gpt2-docs-quick/activations/threshold"
    raw = [r for p in sorted(folder.glob("*.parquet")) for r in pq.read_table(p)["activation"].to_pylist()]
    x = torch.from_numpy(np.stack([np.frombuffer(r, np.float16) for r in raw]).astype(np.float32))
    for teacher in GATES:
        limit = float((codes(*load(quick, teacher, "teacher"), x, "raw") != 0).double().sum(1).mean())
        for arm in ("rsae_init", "rsae"):
            l0 = float((codes(*load(quick, teacher, arm), x, "hard") != 0).double().sum(1).mean())
            assert limit - 0.01 < l0 <= limit + 2e-3, (teacher, arm)


def test_a_finetuned_teacher_loads_in_sae_lens(quick):
    from sae_lens import SAE

    x = torch.randn(32, 128, generator=torch.Generator().manual_seed(0))
    for teacher in GATES:
        folder = quick.folder / f"results/quick/gpt2-docs-quick/{teacher}/teacher_ft/seed-0/sae"
        theirs = SAE.load_from_disk(folder)
        cfg, w = load(quick, teacher, "teacher_ft")
        torch.testing.assert_close(theirs.encode(x), codes(cfg, w, x, "raw"), rtol=1e-4, atol=1e-4)


def test_shards_and_their_manifest(quick):
    folder = quick.folder / "results/quick/gpt2-docs-quick/activations/finetune"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert len(manifest["shards"]) == 2
    assert {"sha256", "file", "rows"} <= set(manifest["shards"][0])
    assert (manifest["dtype"], manifest["d_in"], manifest["hook"]) == ("float16", 128, "blocks.1.hook_resid_post")
    assert len(manifest["documents"]) > 50


def test_the_run_card(quick):
    card = json.loads((quick.folder / "results/quick/run-card.json").read_text())
    assert {"commit", "lock_digest", "config_digest", "device", "versions"} <= set(card)
    assert card["gate_paths"] == sorted({kernels.backend(), "plain"})
    assert card["products"] == [matmul.backend()]
    assert card["steps"] == ["eager"]  # on a CPU
    assert card["torch_threads"] == [1]
    assert card["objectives"]["pairs"]["gpt2-docs-quick/relu"]["l1_coefficient"] == 1.42
    assert card["rules"]["finetune"]["jobs"] == 6
    measured = {str(p) for p in (quick.folder / "results/benchmarks/quick").rglob("*.tsv")}
    assert measured == {str(quick.folder / p) for p in load_plans()["quick"].benchmarks()}
    assert card["rules"]["finetune"]["s"] > 0


def test_the_numbers_are_the_expected_ones(quick):
    done = quick.rsae("check", "--suite", "quick")
    assert done.returncode == 0, done.stdout


def test_a_number_that_moved_is_tabled(untouched):
    # the expected number is moved: cells.csv itself answers for its bytes (tests/faults/test_damage.py)
    path = untouched.folder / "expected/regression/quick.json"
    text = path.read_text()
    reference = json.loads(text)
    row = next(cell for cell in reference["cells"] if "mse_sum" in cell and "rsae" in cell)
    try:
        kept = [cell for cell in reference["cells"] if cell is not row]
        moved = [v * 1.2 if isinstance(v, float) else v for v in row]
        path.write_text(json.dumps(reference | {"cells": [*kept, moved]}))
        done = untouched.rsae("check", "--suite", "quick")
        assert done.returncode == 1
        assert "mse_sum" in done.stdout
        assert "1 cells" in done.stderr
        path.write_text(json.dumps(reference | {"cells": kept}))
        done = untouched.rsae("check", "--suite", "quick")
        assert done.returncode == 1
        assert "absent" in done.stdout or "nan" in done.stdout
    finally:
        path.write_text(text)


def test_the_tables_are_printed_and_say_both_supports(quick):
    shown = quick.rsae("show", "--suite", "quick").stdout
    for words in (
        "Reconstruction",
        "Downstream",
        "Win / tie / loss",
        "same fine-tune",
        "| hard",
        "| raw",
        "added parameters",
    ):
        assert words in shown


def test_results_do_not_depend_on_the_cores(quick, tmp_path):
    """One pair again, one job at a time, from the same activations: byte for byte the same."""
    pair = quick.folder / "results/quick/gpt2-docs-quick/jumprelu"
    before = {p.relative_to(pair): p.read_bytes() for p in pair.rglob("*.safetensors")}
    table = (pair / "reconstruction.parquet").read_bytes()
    target = "results/quick/gpt2-docs-quick/jumprelu/reconstruction.parquet"
    quick.snakemake("--cores", "1", target, "--forcerun", "import_teacher", "init", "finetune_quick")
    assert len(before) == 4
    for name, content in before.items():
        assert (pair / name).read_bytes() == content, name
    assert (pair / "reconstruction.parquet").read_bytes() == table
    quick.snakemake("--cores", "2", "quick")  # later tests find the tables newer than their inputs
