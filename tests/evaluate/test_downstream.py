"""Losses resumed at the hook, against whole runs of a plain model whose stream is replaced."""

import os
import signal

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from rsae.data.activations.host import Host
from rsae.data.text.tokens import Row, TokenRows
from rsae.evaluate import downstream
from rsae.evaluate.downstream import Replacement, ablations, downstream_sums
from rsae.runtime.checkpoint import Checkpoint

HOST, LAYER = "assets/embedded/host", 1
LENGTHS = (40, 7, 23)


HALF = Replacement(["half"], lambda x: [x / 2])


def drawn():
    """Rows of random ids behind BOS, and a mean activation."""
    g = torch.Generator().manual_seed(0)
    rows = [Row(i, str(i), torch.randint(1, 2048, (n,), generator=g).numpy()) for i, n in enumerate(LENGTHS)]
    for row in rows:
        row.ids[0] = 0
    return rows, torch.randn(128, generator=g)


def by_definition(plain, ids, replace):
    """Sum of the cross-entropies of one row: a whole run, the text's activations passed through ``replace``."""

    def hook(block, inputs, output):
        stream = output[0] if isinstance(output, tuple) else output
        new = torch.cat([stream[:, :1], replace(stream[0, 1:])[None]], 1)  # BOS stays
        return (new, *output[1:]) if isinstance(output, tuple) else new

    handle = plain.transformer.h[LAYER].register_forward_hook(hook)
    with torch.no_grad():
        logits = plain(ids[None]).logits[0]
    handle.remove()
    return float(torch.nn.functional.cross_entropy(logits[1:-1].double(), ids[2:], reduction="sum"))


@pytest.mark.parametrize("kind", ["clean", "half", "zero", "mean"])
def test_every_loss_is_that_of_a_whole_run(kind):
    rows, mean = drawn()
    found = downstream_sums(
        Host(HOST, f"blocks.{LAYER}.hook_resid_post"), TokenRows(rows, True), len(rows), [HALF], ablations(mean)
    )
    replace = {
        "clean": lambda x: x,
        "half": lambda x: x / 2,
        "zero": torch.zeros_like,
        "mean": lambda x: mean.expand_as(x),
    }[kind]
    losses = {"clean": found.ce_clean, "half": found.spliced["half"].ce} | found.ce_ablated
    plain = AutoModelForCausalLM.from_pretrained(HOST)
    wanted = [by_definition(plain, torch.from_numpy(row.ids), replace) for row in rows]
    np.testing.assert_allclose(losses[kind] / found.n_pred, wanted / found.n_pred, atol=1e-5, rtol=0)


def test_asked_to_stop_it_saves_and_goes_on_to_the_same_sums(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(downstream, "BATCH", 1)
    rows, mean = drawn()
    host, path = Host(HOST, f"blocks.{LAYER}.hook_resid_post"), tmp_path / "state.pt"

    def sums(checkpoint):
        return downstream_sums(host, TokenRows(rows, True), len(rows), [HALF], ablations(mean), checkpoint)

    stopping = Checkpoint(path, "k", seconds=1e9)
    with stopping.watching(), pytest.raises(SystemExit) as ended:
        os.kill(os.getpid(), signal.SIGTERM)
        sums(stopping)
    assert ended.value.code == 143
    whole, continued = sums(None), sums(Checkpoint(path, "k", seconds=1e9))
    assert "continues after batch 1" in capsys.readouterr().out
    np.testing.assert_array_equal(continued.n_pred, whole.n_pred)
    np.testing.assert_array_equal(continued.ce_clean, whole.ce_clean)
    for name in ("zero", "mean"):
        np.testing.assert_array_equal(continued.ce_ablated[name], whole.ce_ablated[name])
    for a, b in zip(continued.spliced["half"], whole.spliced["half"], strict=True):
        np.testing.assert_array_equal(a, b)
