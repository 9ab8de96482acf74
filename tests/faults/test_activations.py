"""Activations at the edge: huge, constant, of documents of one token; features that never or always fire."""

import copy

import numpy as np
import pytest
import torch

from rsae.arms import Inputs, arms
from rsae.data.activations import shard_writer, shards
from rsae.data.activations.host import Host
from rsae.data.text import tokens
from rsae.evaluate import per_document, teacher_check
from rsae.evaluate.downstream import Replacement, downstream_sums
from rsae.evaluate.reconstruction import reconstruction_sums
from rsae.rational.safe_pade import SafePade
from rsae.report.stats import cells
from rsae.report.stats.metrics import DOWNSTREAM, METRICS, RECONSTRUCTION
from rsae.sae.gates.rational import Rational
from rsae.sae.gates.relu import ReLU
from rsae.training.finetune import Settings, finetune
from rsae.training.threshold import Threshold

SETTINGS = Settings(steps=60, batch=64, lr=1e-3, slow_lr=1e-4, decay_share=0.2, l1_coefficient=0.05)
DATA = torch.randn(256, 8, generator=torch.Generator().manual_seed(3))
DOCUMENT = np.repeat(np.arange(4), 64)


@pytest.fixture(params=["3-2", "9-8"])
def rational(request):
    """A gate of the paper's two degrees; what it does far outside of [-1, 1] is what matters here."""
    p, q = map(int, request.param.split("-"))
    rng = np.random.default_rng(p)
    return Rational(SafePade(rng.random(p + 1), rng.random(q + 1), 0.0), torch.ones(1), torch.ones(1))


def write(folder, x, dtype="float32"):
    documents = [f"document {i}" for i in range(1 + DOCUMENT.max())]
    position = (np.arange(len(x)) % 64).astype(np.int32)
    block = shards.Block(DOCUMENT[: len(x)].astype(np.int32), position, x)
    shard_writer.write(
        folder, [block], n_tok=len(x), n_shards=1, dtype=dtype, hook="h", documents=documents, made_from={}
    )  # fmt: skip
    return folder


def test_a_huge_activation_stops_the_finetune_with_a_sentence(make_sae, rational, tmp_path):
    data = DATA.clone()
    data[13, 2] = 1e30
    sae = make_sae(rational)
    with torch.no_grad():
        assert not torch.isfinite(sae.encode(data)).all()  # else this shows nothing
    with pytest.raises(ValueError, match=r"the loss is (nan|inf) at step \d+; lower `lr`"):
        finetune(sae, data, SETTINGS, seed=0)
    with pytest.raises(ValueError, match="is not finite; nothing was saved"):
        sae.save(tmp_path / "sae", {})
    assert not list(tmp_path.iterdir())


def test_a_huge_activation_in_any_batch_stops_the_finetune(make_sae, rational):
    """The loss is looked at now and then; what one batch poisons stays poisoned until the next look."""
    data = torch.randn(64 * 30, 8, generator=torch.Generator().manual_seed(3))
    for row in (0, 700, 1919):
        poisoned = data.clone()
        poisoned[row] = 1e30
        with pytest.raises(ValueError, match="the loss is"):
            finetune(make_sae(copy.deepcopy(rational)), poisoned, SETTINGS, seed=row)


def test_a_huge_activation_stops_the_evaluation_and_is_never_tabled(make_sae, rational, tmp_path):
    x = DATA.clone()
    x[100] = 1e30  # of document 1
    found = reconstruction_sums(make_sae(rational), [(DOCUMENT, x)], x.double().mean(0), 4)["raw"]
    with pytest.raises(ValueError, match=r"of rsae, seed 0, raw codes is not finite on document 1.*nothing is judged"):
        per_document.write(tmp_path / "sums.parquet", {per_document.Cell("rsae", 0, "raw"): found._asdict()})
    assert not list(tmp_path.iterdir())


def test_codes_that_overflow_settle_no_support(make_sae, rational, tmp_path):
    x = DATA.numpy().copy()
    x[100] = 1e30
    with pytest.raises(ValueError, match=r"are not finite, so no support can be settled.*gate\.tail"):
        Threshold(make_sae(ReLU()), write(tmp_path / "threshold", x)).settle(make_sae(rational))


def test_an_overflow_of_fp16_names_document_and_position(tmp_path):
    x = DATA.numpy().copy()
    x[70, 3] = 70000  # row 70: the seventh position of document 1
    with pytest.raises(ValueError, match=r"70000 at h, document 'document 1', position 6 .*set `dtype: float32`"):
        write(tmp_path / "a", x, "float16")
    assert not list(tmp_path.iterdir())
    assert shards.Shards(write(tmp_path / "a", x)).load().x[70, 3] == 70000


def firing(make_sae, bias):
    """A ReLU SAE whose features fire nowhere (a large negative bias) or everywhere."""
    sae = make_sae(ReLU())
    with torch.no_grad():
        sae.b_enc.fill_(bias)
    return sae


@pytest.mark.parametrize(("bias", "l0", "alive"), [(-1e3, 0, 0), (1e3, 32, 1)])
def test_all_dead_and_all_alive_features_are_measured_as_such(make_sae, bias, l0, alive):
    sae = firing(make_sae, bias)
    mean = DATA.double().mean(0)
    columns = reconstruction_sums(sae, [(DOCUMENT, DATA)], mean, 4)["hard"]._asdict()
    columns |= {"d_in": np.full(4, 8), "d_sae": np.full(4, 32)}
    values = {name: float(METRICS[name].value(columns, np.ones((1, 4)))[0]) for name in RECONSTRUCTION}
    assert all(np.isfinite(list(values.values())))
    assert (values["l0"], values["alive"]) == (l0, alive)
    if not l0:  # x_hat is b_dec: by hand
        wanted = (DATA - sae.b_dec.detach()).square().sum(1).mean()
        assert values["mse_sum"] == pytest.approx(float(wanted), rel=1e-5)
    finetune(sae, DATA, SETTINGS, seed=0)
    assert all(torch.isfinite(p).all() for p in sae.parameters())


def test_a_teacher_that_never_fires_is_not_imitated(make_sae):
    fit = {"safe_pade": {"num": [0.02, 0.5, 1.6, 1.2], "den": [0, 0, 2.4]}, "theta": None, "center": 0.0}
    build = arms("relu")["rsae_init"].build
    assert build is not None
    with pytest.raises(ValueError, match="no pre-activation passes its threshold"):
        build(firing(make_sae, -1e3), Inputs([DATA], fit | {"converged": True}, False))


def test_constant_activations_explain_nothing_and_are_refused(make_sae, tmp_path):
    x = torch.ones(256, 8)
    with pytest.raises(ValueError, match=r"all 256 activations are alike.*wrong hook"):
        teacher_check.reconstruction(teacher_check.codes_and_output(make_sae(ReLU())), x.split(64), x.double().mean(0))
    # and if they reach the judgement, nothing is tabled
    columns = reconstruction_sums(make_sae(ReLU()), [(DOCUMENT, x)], x.double().mean(0), 4)["raw"]._asdict()
    columns |= {"d_in": np.full(4, 8), "d_sae": np.full(4, 32)}
    columns |= {k: np.ones(4) for k in ("n_pred", "ce_clean", "ce_zero", "ce_mean", "ce_spliced", "kl")}
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=r"fvu of a/b.*is not finite; nothing is tabled"):
        list(cells.rows("s", cells.Pair("a", "b", {per_document.Cell("teacher", 0, "raw"): columns}, 0)))


def rows(*lengths):
    return tokens.TokenRows(
        [tokens.Row(i, str(i), np.arange(n + 1, dtype=np.int32)) for i, n in enumerate(lengths)], True
    )


@pytest.fixture(scope="module")
def host():
    return Host("assets/embedded/host", "blocks.1.hook_resid_post")


def test_documents_of_one_token_predict_nothing_and_disturb_nothing(host):
    replacements = [Replacement(["zero"], lambda x: [torch.zeros_like(x)])]
    mixed = downstream_sums(host, rows(1, 9, 1), 3, replacements)
    alone = downstream_sums(host, rows(9), 1, replacements)
    assert mixed.n_pred.tolist() == [0, 8, 0]
    assert mixed.ce_clean[1] == pytest.approx(alone.ce_clean[0], rel=1e-5)
    assert mixed.spliced["zero"].kl.tolist() == [0, pytest.approx(alone.spliced["zero"].kl[0], rel=1e-4), 0]
    columns = {"n_pred": mixed.n_pred, "ce_clean": mixed.ce_clean}
    value = DOWNSTREAM["ce_clean"].value(columns, np.ones((1, 3)))[0]
    assert value == pytest.approx(alone.ce_clean[0] / 8, rel=1e-5)


def test_nothing_but_documents_of_one_token_is_refused(host):
    with pytest.raises(ValueError, match="nothing is predicted; take longer documents"):
        downstream_sums(host, rows(1, 1), 2, [], {"zero": torch.zeros(128)})


def test_the_rational_gate_overflows_where_the_issue_says(rational):
    """Beyond |t| of 1e30 the powers leave fp32; with the tail, they are clamped and stay."""
    h = torch.tensor([[1e30, -1e30]])
    assert not torch.isfinite(rational(h)).all()
    rational.tail = True
    assert torch.isfinite(rational(h)).all()
