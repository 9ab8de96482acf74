"""A message names what whoever called can change: a suite's key, an option, a parameter."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import rsae
from rsae.api import from_text
from rsae.cli import errors, people
from rsae.data.text import tokens
from rsae.runtime.caller import WORDS, called_from, word
from rsae.sae import loading
from tests import checkpoints

E = Path("assets/embedded")
W = checkpoints.tensors(8, 16)
upgrade: Any = rsae.upgrade


def told(call, *arguments, **settings):
    with pytest.raises(ValueError) as caught:
        call(*arguments, **settings)
    return str(caught.value)


def shell(**settings):
    given = {"text": "README.md", "out": "out", "hook": None, "ctx": None, "bos": None, "max_tok": 4000, "steps": 0}
    given |= {"host": str(E / "host"), "teacher": str(E / "teachers/topk"), "sae_id": None, **settings}
    return told(from_text.run, **(given | {"out": Path(given["out"])}))


@pytest.fixture
def topk(tmp_path):
    """A lone checkpoint that does not say its k."""
    torch.save({k: W[k] for k in ("W_enc", "b_enc", "W_dec", "b_dec")}, tmp_path / "alone.pt")
    return tmp_path / "alone.pt"


def test_a_missing_k_is_asked_for_in_each_ones_words(topk):
    assert "state `stated.k`" in told(loading.load, topk, "topk", 8)
    assert "state `stated['k']`" in told(upgrade, topk, torch.zeros(9, 8), kind="topk")
    assert "state `--k`" in shell(teacher=str(topk), kind="topk")
    assert "give `--kind` too" in shell(teacher=str(topk))
    assert "give `kind` too" in told(upgrade, topk, torch.zeros(9, 8))


def test_what_contradicts_the_files_is_named_in_each_ones_words():
    assert "leave `stated.k` out" in told(loading.load, E / "teachers/topk", "topk", 128, stated={"k": 12})
    assert "leave `stated['k']` out" in told(upgrade, E / "teachers/topk", torch.zeros(9, 128), stated={"k": 12})
    assert "leave `--k` out" in shell(stated={"k": 12})


def test_arguments_are_named_as_they_were_given():
    assert told(upgrade, "x", torch.zeros(3, 3), steps=-1).startswith("steps must be")
    assert shell(steps=-1, teacher=str(E / "teachers/topk")).startswith("--steps must be")
    assert shell(ctx=1).startswith("--ctx must be")
    assert shell(stated={"input_scale": -1.0}).startswith("--input-scale must be")


def test_too_few_documents_are_told_with_what_there_is_to_turn():
    few = torch.randn(300, 128)
    assert "--" not in told(upgrade, E / "teachers/topk", few).partition("give at least 20")[2]
    assert "a larger --max-tok" in shell(max_tok=60)


def test_a_text_of_other_columns_and_an_empty_folder_are_told_with_options(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"content": "one"}\n', encoding="utf-8")
    (tmp_path / "none").mkdir()
    assert "no column 'text'; it has content; write config/text/NAME.yaml with its `column`" in shell(
        text=str(tmp_path / "a.jsonl")
    )
    assert "give --text a file or a folder of files" in shell(text=str(tmp_path / "none"))


def test_a_tokenizer_without_bos_is_told_in_each_ones_words():
    class Without:
        bos_token_id = None
        all_special_tokens = ()

    said = {}
    for caller in ("suite", "shell"):
        with called_from(caller):
            said[caller] = told(tokens.tokenise, [("a", "b")], Without(), ctx=8, bos=True)
    assert said["suite"].endswith("set `bos: false`")
    assert said["shell"].endswith("give --no-bos")


def test_the_outermost_caller_counts_and_is_forgotten_afterwards():
    with called_from("shell"):
        with called_from("python"):
            assert word("max_tok") == "--max-tok"
        assert word("k") == "--k"
    assert (word("k"), word("max_tok")) == ("stated.k", "max_tok")


def test_no_word_for_the_shell_is_an_option_that_upgrade_does_not_have():
    help_of = {f"--{name.replace('_', '-')}" for name in people.upgrade.__annotations__} | {"--no-bos"}
    for words in WORDS.values():
        assert set(re.findall(r"--[a-z-]+", words.get("shell", ""))) <= help_of
        assert "--" not in words.get("python", "") + words.get("suite", "")


def test_memory_of_an_upgrade_is_told_with_its_option():
    assert "fewer tokens (--max-tok)" in str(errors.sentence(MemoryError(), "upgrade"))
    assert "fewer `tokens`" in str(errors.sentence(MemoryError(), "harvest"))
