"""One's own host, text and SAE by the README's example, word for word, to the tables."""

import re
from typing import Any

import pandas as pd
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from rsae.data.text.tokenizer import load_tokenizer
from tests import checkpoints, tiny
from tests.workflow.project import ROOT, Project

D_IN, D_SAE, K = 32, 96, 4


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Project:
    project = Project(tmp_path_factory.mktemp("own"))
    found = re.search(r"```yaml\n# config/suites/mine\.yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert found is not None
    (project.folder / "config/suites/mine.yaml").write_text(found[1])
    assert len(found[1].splitlines()) <= 20
    torch.manual_seed(0)
    sizes: Any = {"hidden_size": D_IN, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=2048, num_key_value_heads=2, initializer_range=0.3, **sizes))
    model.save_pretrained(project.folder / "my/model")
    load_tokenizer("assets/embedded/host").save_pretrained(project.folder / "my/model")
    (project.folder / "my/notes.txt").write_text("\n\n".join(tiny.sentences(500, seed=3)))
    torch.save(
        checkpoints.state_dict("AutoEncoderTopK", checkpoints.tensors(D_IN, D_SAE), K), project.folder / "my/sae.pt"
    )
    project.snakemake("--cores", "2", "mine", RSAE_GATE="tiled")
    return project


def test_it_ends_in_the_same_tables(own):
    cells = pd.read_csv(own.folder / "results/mine/tables/cells.csv")
    assert set(cells.arm) == {"teacher", "teacher_ft", "rsae_init", "rsae"}
    assert set(cells.seed) == {0, 1, 2}
    l0 = cells[(cells.arm == "teacher") & (cells.metric == "l0")].value
    assert l0.between(K - 1, K).all()  # k features at most, those that are positive
    for name in ("reconstruction.md", "downstream.md", "win_loss.md"):
        assert "my-sae" in (own.folder / "results/mine/tables" / name).read_text()


def test_nothing_was_fetched_and_a_second_run_does_nothing(own):
    assert not list((own.folder / "results").rglob("source.json"))
    assert own.planned("mine") == set()


def test_a_touched_text_is_read_again(own):
    path = own.folder / "my/notes.txt"
    path.write_text(path.read_text() + "\n\na new paragraph that nobody has read before")
    assert "text --suite mine" in own.planned("mine")
