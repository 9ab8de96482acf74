"""Inputs of kinds that people have handed to tools like this one: right, or refused by name, never silently wrong.

Each kind's right value comes from elsewhere: transformers on unpadded rows, a text without its copies, pencil.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

import rsae
from rsae.api import from_text, output
from rsae.api.arguments import check
from rsae.api.inputs import activations_of
from rsae.api.verdict import ENOUGH
from rsae.data.text.tokenizer import load_tokenizer
from rsae.data.text.tokens import tokenise
from rsae.evaluate.teacher_check import fits_centred
from rsae.report.stats.bootstrap import interval, resamples
from rsae.report.stats.metrics import METRICS
from rsae.sae import loading
from rsae.sae.gates.topk import TopK
from rsae.sae.loading.sites import check_site, site_of
from rsae.sae.model import SAE
from rsae.saelens import convert
from tests.api.test_upgrade import case
from tests.upgraded import activations, make

E = Path("assets/embedded")
HOOK = "blocks.1.hook_resid_post"
upgrade: Any = rsae.upgrade


@pytest.fixture(scope="module")
def stream():
    """What plain transformers has behind block 1, row by row, each alone and without padding; BOS is left out."""
    model = AutoModelForCausalLM.from_pretrained(E / "host", dtype=torch.float32).eval()

    @torch.no_grad()
    def seen(rows):
        return torch.cat([model(row[None], output_hidden_states=True).hidden_states[2][0, 1:] for row in rows])

    return seen


@pytest.fixture(scope="module")
def rows():
    """Twenty rows of ids of several lengths, each after BOS."""
    bos = load_tokenizer(E / "host").bos_token_id
    g = torch.Generator().manual_seed(0)
    return [torch.cat([torch.tensor([bos]), torch.randint(5, 2000, (n,), generator=g)]) for n in range(10, 30)]


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("masked", [True, False])
def test_padded_ids_are_read_as_what_they_hold(stream, rows, side, masked):
    longest, bos = max(map(len, rows)), rows[0][0]
    pad = [bos.repeat(longest - len(row)) for row in rows]
    ids = torch.stack([torch.cat([row, p] if side == "right" else [p, row]) for row, p in zip(rows, pad, strict=True)])
    whole = [torch.cat([torch.ones(len(r)), torch.zeros(len(p))]) for r, p in zip(rows, pad, strict=True)]
    mask = torch.stack([m if side == "right" else m.flip(0) for m in whole])
    given = activations_of(ids, None, E / "host", HOOK, False, mask if masked else None)
    torch.testing.assert_close(given.x, stream(rows), atol=1e-4, rtol=1e-4)


def test_a_row_that_is_not_finite_is_named_before_any_work():
    teacher, x, documents = case(TopK(2), together=True)
    for value in (float("nan"), float("inf")):
        spoilt = x.clone()
        spoilt[4321, 3] = value
        with pytest.raises(
            ValueError, match=r"1 of 6000 activations hold NaN or infinity, the first in row 4321 \(doc"
        ):
            upgrade(teacher, spoilt, documents=documents, steps=1)


def test_copies_of_documents_are_left_out_and_the_rest_is_read_alike(capsys):
    g = np.random.default_rng(0)
    texts = [
        " ".join(g.choice("alpha beta gamma delta one two three four returns array value".split(), 60))
        for _ in range(25)
    ]
    tokenizer = load_tokenizer(E / "host")
    once = tokenise([(str(i), t) for i, t in enumerate(texts)], tokenizer, ctx=64, bos=True)
    often = tokenise([(f"{i}", t) for i, t in enumerate(texts * 8)], tokenizer, ctx=64, bos=True)
    one, many = (activations_of(r, None, E / "host", HOOK, False) for r in (once, often))
    assert "copies: 175 of 200 documents" in capsys.readouterr().out
    torch.testing.assert_close(many.x, one.x, atol=1e-4, rtol=1e-4)


def test_activations_that_stand_in_test_and_fine_tune_are_refused():
    teacher, x, _ = case(TopK(2), together=True)
    with pytest.raises(ValueError, match="stand in the fine-tune too, so nothing here is held out"):
        upgrade(teacher, x[:1000].repeat(6, 1), steps=1)


def test_another_site_than_the_files_say_is_refused_with_both(tmp_path):
    with pytest.raises(
        ValueError, match=r"trained at blocks\.1\.hook_resid_post, and blocks\.2\.hook_resid_post is read"
    ):
        upgrade(
            E / "teachers/topk", torch.ones(40, 8, dtype=torch.long), host=E / "host", hook="blocks.2.hook_resid_post"
        )
    folder = dictionary(tmp_path, {"dict_class": "AutoEncoderTopK", "k": 24, "submodule_name": "resid_post_layer_1"})
    with pytest.raises(ValueError, match=r"trained at blocks\.1\.hook_resid_post, and blocks\.0"):
        upgrade(folder, torch.ones(40, 8, dtype=torch.long), host=E / "host", hook="blocks.0.hook_resid_post")
    assert loading.load_any(folder)[1]["hook_name"] == HOOK


@pytest.mark.parametrize(
    ("trained", "site"),
    [
        ("blocks.8.hook_resid_post", "blocks.8.hook_resid_post"),
        ("model.layers.8", "blocks.8.hook_resid_post"),
        ("transformer.h.3", "blocks.3.hook_resid_post"),
        ("gpt_neox.layers.0", "blocks.0.hook_resid_post"),
        ("resid_post_layer_8", "blocks.8.hook_resid_post"),
        ("mlp_out_layer_8", "blocks.8.hook_mlp_out"),
        ("model.layers.8.mlp", "blocks.8.hook_mlp_out"),
        ("model.layers.8.self_attn", "blocks.8.hook_attn_out"),
        ("blocks.8.attn.hook_z", "blocks.8.attn.hook_z"),
        ("blocks.8.hook_resid_mid", "blocks.8.hook_resid_mid"),
        ("somewhere", None),
    ],
)
def test_sites_are_compared_in_everybodys_words(trained, site):
    assert site_of(trained) == site
    if site == "blocks.8.hook_resid_post":
        check_site(trained, "blocks.8.hook_resid_post", "it")
        check_site(trained, "blocks.9.hook_resid_pre", "it")  # the end of a block is the beginning of the next
    else:
        with pytest.raises(ValueError, match=r"it (was trained at|names its site)"):
            check_site(trained, "blocks.8.hook_resid_post", "it")


def sae_lens_folder(to: Path, **cfg: Any) -> Path:
    shutil.copytree(E / "teachers/topk", to)
    said = json.loads((to / "cfg.json").read_text())
    (to / "cfg.json").write_text(json.dumps(said | cfg))
    return to


def dictionary(to: Path, trainer: dict[str, Any], **tensors: torch.Tensor) -> Path:
    """The embedded TopK as a folder of dictionary_learning."""
    w = load_file(E / "teachers/topk/sae_weights.safetensors")
    state = {
        "encoder.weight": w["W_enc"].T.contiguous(), "encoder.bias": w["b_enc"],
        "decoder.weight": w["W_dec"].T.contiguous(), "b_dec": w["b_dec"], **tensors,
    }  # fmt: skip
    torch.save(state, to / "ae.pt")
    (to / "config.json").write_text(json.dumps({"trainer": trainer, "buffer": {"io": "out"}}))
    return to


@pytest.mark.parametrize(
    ("cfg", "says"),
    [
        ({"activation_fn_str": "tanh-relu"}, "tanh"),
        ({"activation_fn": "gelu"}, "the activation 'gelu'"),
        ({"input_unit_norm": True}, r"cfg\.json holds input_unit_norm \(True\)"),
        ({"reshape_activations": "hook_z"}, "hook_z reshaped"),
        ({"k": 0}, "keeps k: 0 features"),
        ({"k": -1}, "keeps k: -1 features"),
        ({"k": 5000}, "keeps k: 5000 features"),
    ],
)
def test_what_a_cfg_says_is_used_or_refused_by_name(tmp_path, cfg, says):
    folder = sae_lens_folder(tmp_path / "t", **cfg)
    with pytest.raises(ValueError, match=says):
        loading.load_any(folder)


@pytest.mark.parametrize("cfg", [{"lr": 3e-4, "wandb_project": "x", "l1_warm_up_steps": 5}, {"k": 24.0}, {"k": "24"}])
def test_how_it_was_trained_and_how_k_is_written_change_nothing(tmp_path, cfg):
    x = torch.randn(20, 128, generator=torch.Generator().manual_seed(0))
    wanted = loading.load_any(E / "teachers/topk")[0].encode(x)
    torch.testing.assert_close(loading.load_any(sae_lens_folder(tmp_path / "t", **cfg))[0].encode(x), wanted)


def test_a_trainers_class_stands_for_a_missing_dict_class(tmp_path):
    folder = dictionary(tmp_path, {"trainer_class": "BatchTopKTrainer", "k": 24}, threshold=torch.tensor(0.7))
    sae, _ = loading.load_any(folder)
    x = 3 * torch.randn(30, 128, generator=torch.Generator().manual_seed(0))
    w = load_file(E / "teachers/topk/sae_weights.safetensors")
    h = (x - w["b_dec"]) @ w["W_enc"] + w["b_enc"]
    torch.testing.assert_close(sae.encode(x), torch.where(h > 0.7, h, 0.0), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("trainer", "tensors", "says"),
    [
        ({"k": 24}, {"threshold": torch.tensor(0.7), "k": torch.tensor(24)}, "state `kind`"),
        ({"trainer_class": "SomethingTrainer"}, {}, "its trainer SomethingTrainer is not known"),
        ({"dict_class": ["AutoEncoder"]}, {}, "which is no name"),
        ({"dict_class": "AutoEncoderTopK", "k": [4]}, {}, r"keeps k: \[4\]"),
        ({"dict_class": "AutoEncoderTopK", "k": 24, "act_norm": 3.0}, {}, r"act_norm \(3\.0\)"),
        ({"dict_class": "AutoEncoder"}, {"act_mean": torch.ones(128)}, "no known layout: act_mean"),
    ],
)
def test_what_a_dictionary_says_is_used_or_refused_by_name(tmp_path, trainer, tensors, says):
    with pytest.raises(ValueError, match=says):
        loading.load_any(dictionary(tmp_path, trainer, **tensors))


def test_what_stands_beside_a_state_dict_counts_too(tmp_path):
    state = torch.load(dictionary(tmp_path, {}) / "ae.pt", weights_only=True)
    torch.save({"state_dict": state, "cfg": {"lr": 1e-3}, "act_mean": torch.ones(128)}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"beside its `state_dict`, holds act_mean \(tensor 128\)"):
        loading.load_any(tmp_path / "a.pt", "relu")
    torch.save({"state_dict": {f"_orig_mod.{k}": v for k, v in state.items()}, "epoch": 3}, tmp_path / "b.pt")
    x = torch.randn(5, 128)
    torch.save(state, tmp_path / "c.pt")
    one, other = (loading.load_any(tmp_path / f"{name}.pt", "relu")[0] for name in ("b", "c"))
    torch.testing.assert_close(one.encode(x), other.encode(x))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a pointer of Git LFS"),
    ],
)
def test_what_people_find_under_the_name_of_a_checkpoint_is_told(tmp_path, content, says):
    (tmp_path / "ae.pt").write_bytes(content)
    with pytest.raises(ValueError, match=says):
        loading.load_any(tmp_path / "ae.pt", "relu")


def test_a_models_folder_is_told_from_an_saes():
    with pytest.raises(ValueError, match="the folder of a language model"):
        loading.load_any(E / "host")


def test_gemma_scope_and_sparsify_are_read_and_what_is_more_is_refused(tmp_path):
    g = torch.Generator().manual_seed(0)
    W_enc, b_enc, W_dec, b_dec = (torch.randn(s, generator=g) for s in ((6, 9), (9,), (9, 6), (6,)))
    x, theta = torch.randn(20, 6, generator=g), torch.rand(9, generator=g)
    arrays = {"W_enc": W_enc, "b_enc": b_enc, "W_dec": W_dec, "b_dec": b_dec, "threshold": theta}
    np.savez(tmp_path / "params.npz", allow_pickle=False, **{k: v.numpy() for k, v in arrays.items()})
    h = x @ W_enc + b_enc
    jump = torch.where(h > theta, h, 0.0)
    torch.testing.assert_close(loading.load_any(tmp_path / "params.npz")[0].encode(x), jump)
    np.savez(
        tmp_path / "skip.npz",
        allow_pickle=False,
        **{k: v.numpy() for k, v in (arrays | {"W_skip": torch.ones(6, 6)}).items()},
    )
    with pytest.raises(ValueError, match="transcoder"):
        loading.load_any(tmp_path / "skip.npz")
    second = tmp_path / "two"
    second.mkdir()
    save_file({k.lower() if k[1] == "_" else k: v for k, v in arrays.items()}, second / "params.safetensors")
    cfg = {"architecture": "jump_relu", "hf_hook_point_in": "model.layers.5", "model_name": "m", "width": 9, "l0": 3}
    (second / "config.json").write_text(json.dumps(cfg))
    sae, metadata = loading.load_any(second)
    torch.testing.assert_close(sae.encode(x), jump)
    assert metadata["hook_name"] == "blocks.5.hook_resid_post"
    third = tmp_path / "three"
    third.mkdir()
    named = {"encoder.weight": W_enc.T.contiguous(), "encoder.bias": b_enc, "W_dec": W_dec, "b_dec": b_dec}
    save_file(named, third / "sae.safetensors")
    (third / "cfg.json").write_text(json.dumps({"activation": "topk", "k": 3, "transcode": False, "d_in": 6}))
    best = ((x - b_dec) @ W_enc + b_enc).relu().topk(3)
    wanted = torch.zeros(20, 9).scatter(1, best.indices, best.values)
    torch.testing.assert_close(loading.load_any(third)[0].encode(x), wanted)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"steps": -1}, "steps must be a whole number of at least 0, got -1"),
        ({"steps": 2.5}, "steps must be a whole number"),
        ({"batch": 0}, "batch must be a whole number of at least 1"),
        ({"lrs": []}, "lrs is empty"),
        ({"lrs": [1e-3, -1.0]}, "lrs must be a finite number above 0, got -1.0"),
        ({"lrs": [float("nan")]}, "lrs must be a finite number"),
        ({"l1_coefficient": -1.0}, "l1_coefficient must be a finite number of at least 0"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"gate": "resolvant"}, "did you mean 'resolvent'"),
        ({"precision": "fp8"}, "precision must be one of"),
        ({"kind": "gelu"}, "kind must be one of"),
        ({"stated": {"k": 0}}, "k must be a whole number of at least 1"),
    ],
)
def test_arguments_are_looked_at_by_themselves(arguments, says):
    right = {
        "gate": "resolvent", "kind": None, "steps": 0, "batch": 1, "lrs": [1e-4], "l1_coefficient": None, "seed": 0,
        "precision": "fp32", "stated": None,
    }  # fmt: skip
    check(**right)
    with pytest.raises(ValueError, match=says):
        check(**{**right, **arguments})


def test_arguments_are_looked_at_before_anything_is_loaded():
    with pytest.raises(ValueError, match="steps must be"):
        upgrade("no such folder", torch.zeros(3, 3), steps=-1)


def test_what_is_stated_cannot_contradict_the_files(tmp_path):
    with pytest.raises(ValueError, match=r"says k: 24 in its files, and k: 12 is stated"):
        loading.load_any(E / "teachers/topk", stated={"k": 12})
    assert loading.load_any(E / "teachers/topk", stated={"k": 24})[0].gate.settings()["k"] == 24
    centred = {"model_from_pretrained_kwargs": {"center_writing_weights": True}}
    metadata = json.loads((E / "teachers/topk/cfg.json").read_text())["metadata"]
    folder = sae_lens_folder(tmp_path / "t", metadata=metadata | centred)
    with pytest.raises(
        ValueError, match="center_writing_weights: True in its files, and center_writing_weights: False"
    ):
        upgrade(folder, torch.randn(100, 128), center_writing_weights=False)


def test_there_is_no_verdict_without_a_control_or_with_few_documents():
    teacher, x, documents = case(TopK(2), together=True)
    untrained = upgrade(teacher, x, documents=documents, steps=0)
    assert not untrained.helped
    assert untrained.verdict.startswith("No verdict: nothing was trained")
    few = upgrade(teacher, x, documents=documents // 3, steps=1, lrs=[1e-4])  # 20 documents, 4 of them held out
    assert not few.helped
    assert few.verdict.startswith(f"No verdict: 4 held-out documents are fewer than the {ENOUGH}")
    assert "mse" in few.table  # the numbers stand


def test_intervals_of_shares_stay_shares():
    fired = np.ones((40, 8), np.uint8)
    fired[:, 7] = np.arange(40) == 0  # one feature fires in one document
    columns = {"fired": fired, "d_sae": np.full(40, 8)}
    weights = np.vstack([np.ones((1, 40)), resamples(40, 0)])
    values = METRICS["alive"].value(columns, weights)
    assert interval(values[0], values[1:])[1] > 1  # re-centred on the estimate
    assert interval(values[0], values[1:], METRICS["alive"].within)[1] == 1


def test_an_output_folder_replaces_nothing_but_its_own(tmp_path):
    teacher, x, documents = case(TopK(2), together=True)
    out = tmp_path / "out"
    teacher.save(out / "sae", {})
    (out / "README.md").write_text("mine")
    with pytest.raises(ValueError, match=r"holds the teacher .*/out/sae, which would be lost"):
        output.check(out, out / "sae")
    with pytest.raises(ValueError, match=r"holds README\.md, sae, which this command did not write"):
        output.check(out, teacher)
    found = upgrade(teacher, x, documents=documents, steps=0)
    with pytest.raises(ValueError, match="which this command did not write"):
        found.save(out)
    assert (out / "README.md").read_text() == "mine"
    found.save(tmp_path / "new")
    before = (tmp_path / "new/run-card.json").read_bytes()
    found.save(tmp_path / "new")  # its own, of the same teacher
    assert (tmp_path / "new/run-card.json").read_bytes() == before
    other, _, _ = case(TopK(2), together=True, norm=1.001)
    with pytest.raises(ValueError, match="holds the upgrade of another teacher"):
        upgrade(other, x, documents=documents, steps=0).save(tmp_path / "new")
    (tmp_path / "new/notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds notes\.txt"):
        found.save(tmp_path / "new")


def test_marks_in_a_text_are_text():
    tokenizer = load_tokenizer(E / "host")
    mark = tokenizer.all_special_tokens[0]
    assert len(tokenizer(mark, add_special_tokens=False)["input_ids"]) == 1  # what would otherwise happen
    ids = tokenise([("a", f"one {mark} two")], tokenizer, ctx=64, bos=True).rows[0].ids
    assert ids.tolist().count(tokenizer.bos_token_id) == 1
    assert tokenizer.convert_tokens_to_ids(mark) not in ids[1:].tolist()
    assert tokenizer.decode(ids[1:]) == f"one {mark} two"


def test_an_upgraded_folder_given_again_is_told_so(tmp_path):
    teacher, x, documents = case(TopK(2), together=True)
    upgrade(teacher, x, documents=documents, steps=0).save(tmp_path / "out")
    for folder in (tmp_path / "out/sae", tmp_path / "out"):
        with pytest.raises(ValueError, match=f"{folder} has been upgraded already; start from a ReLU, JumpReLU or"):
            upgrade(folder, x)
    teacher.save(tmp_path / "around/sae", {})
    with pytest.raises(ValueError, match=f"holds its SAE in the folder {tmp_path}/around/sae; give that one"):
        upgrade(tmp_path / "around", x)


@torch.no_grad()
def test_exports_in_other_precisions_are_right_or_refused():
    """A plain matrix product and a threshold in fp64 are what is right; half is refused by a sentence."""
    sae, x = make("relu, cut"), activations()
    for half in (lambda s: s.half(), lambda s: s.bfloat16(), lambda s: s.to(torch.float16), lambda s: s.to(torch.half)):
        theirs = half(convert(sae))
        for call in (theirs.encode, theirs.decode, theirs):
            with pytest.raises(ValueError, match=r"runs in float32 or float64, not torch\.b?float16; load it with"):
                call(x if call != theirs.decode else torch.ones(3, len(sae.b_enc)))
    w = {k: v.double() for k, v in sae.tensors().items()}
    z = ((x.double() - w["b_dec"]) @ w["W_enc"] + w["b_enc"]).relu()
    z = torch.where(z * w["W_dec"].norm(dim=1) > sae.eps, z, 0.0)
    close = {torch.float64: 1e-9, torch.float32: 1e-5}
    for theirs in (convert(sae).double(), convert(sae).double().float()):
        assert theirs.encode(x).dtype == theirs.W_enc.dtype
        torch.testing.assert_close(theirs.encode(x).double(), z, atol=close[theirs.W_enc.dtype], rtol=0)


def test_an_sae_of_a_centred_stream_is_told_from_one_of_the_stream_as_it_is():
    """Rows of mean 0 and a teacher that is exact on them; then every token's entries are moved alike."""
    teacher, x, _ = case(TopK(2), together=False)
    W = teacher.W_enc.detach() - teacher.W_enc.detach().mean(0)
    q, _ = torch.linalg.qr(W[:, :15])  # 15 directions at right angles, each of mean 0
    centred = x[:, :15] @ q.T
    sae = SAE(q, torch.zeros(15), q.T.contiguous(), torch.zeros(16), TopK(2))
    assert fits_centred(sae, [centred]) is None
    moved = centred + 3 * torch.randn(len(x), 1, generator=torch.Generator().manual_seed(1))
    found = fits_centred(sae, [moved])
    assert found is not None
    assert found[0] < 0.5
    assert found[1] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("wrong", [-100, 99999])
def test_an_id_that_the_host_has_no_row_for_is_named(wrong):
    ids = torch.randint(5, 2000, (30, 12), generator=torch.Generator().manual_seed(0))
    ids[7, 5] = wrong
    with pytest.raises(ValueError, match=f"token id {wrong} is none of the 2048 that host .*belongs to another model"):
        activations_of(ids, None, E / "host", HOOK, False)


def test_of_long_documents_the_beginnings_are_read_so_that_enough_are_seen(tmp_path):
    g = np.random.default_rng(0)
    texts = [" ".join(f"{n:x}" for n in g.integers(0, 1 << 30, 4000)) for _ in range(40)]
    (tmp_path / "long.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts), encoding="utf-8")
    rows = from_text.tokenised(str(tmp_path / "long.jsonl"), str(E / "host"), {}, None, None, 8000)
    assert (len(rows.rows), rows.n_tok) == (62, 62 * 127)  # what fits into 8000, two rows of each
    assert len({row.document for row in rows.rows}) == 31


def test_an_upgrades_metadata_says_what_another_tool_would_have_to_be_told(tmp_path):
    g = np.random.default_rng(0)
    texts = [" ".join(f"{n:x}" for n in g.integers(0, 1 << 30, 30)) for _ in range(60)]
    path = tmp_path / "text.jsonl"
    path.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts), encoding="utf-8")
    from_text.run(
        str(E / "teachers/topk"), None, str(E / "host"), str(path), tmp_path / "out",
        hook=None, ctx=48, bos=None, max_tok=9000, steps=0,
    )  # fmt: skip
    said = json.loads((tmp_path / "out/sae/cfg.json").read_text(encoding="utf-8"))["metadata"]
    wanted = {"model_name": str(E / "host"), "context_size": 48, "prepend_bos": True, "dataset_path": str(path)}
    assert {k: said[k] for k in wanted} == wanted
    assert said["hook_name"] == HOOK
