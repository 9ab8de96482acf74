"""Which form of codes a fine-tune takes, that it ends alike in both, and that an interruption changes neither."""

import pytest
import torch

from rsae.config.types import ALL_PARAMETERS
from rsae.runtime.checkpoint import Checkpoint
from rsae.sae.gates.jumprelu import JumpReLU
from rsae.sae.gates.polynomial import Polynomial
from rsae.sae.gates.relu import ReLU
from rsae.sae.gates.topk import TopK
from rsae.sae.model import SAE
from rsae.sae.refine.resolvent import Resolvent
from rsae.training.finetune import Settings, finetune
from rsae.training.parallel import Alone
from tests.training.parallel_worker import Leaving

D_IN, D_SAE = 8, 160
SETTINGS = Settings(steps=30, batch=64, lr=3e-3, slow_lr=1e-3, decay_share=0.2, l1_coefficient=0.05, objective="own")
DATA = torch.randn(640, D_IN, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def tuned(make_sae, monkeypatch):
    """An SAE after its fine-tune, and what the fine-tune says."""

    def tune(gate, codes, refine=None, **kwargs):
        monkeypatch.setenv("RSAE_CODES", codes)
        sae = make_sae(gate, D_IN, D_SAE)
        sae = sae if refine is None else sae.with_refinement(refine)
        return sae, finetune(sae, DATA, SETTINGS, 0, **kwargs)

    return tune


@pytest.mark.parametrize(
    ("gate", "codes", "form"),
    [
        (lambda: TopK(4), "", "sparse"),  # 2.5% of codes
        (lambda: TopK(40), "", "dense"),
        (lambda: TopK(40), "sparse", "sparse"),
        (lambda: TopK(4), "dense", "dense"),
        (lambda: Polynomial(torch.tensor([0.0, 1.0])), "sparse", "dense"),  # no code is exactly 0
    ],
)
def test_the_form_follows_the_share_of_active_codes_unless_it_is_said(tuned, capsys, gate, codes, form):
    assert tuned(gate(), codes)[1].codes == form
    lines = [line for line in capsys.readouterr().out.splitlines() if "of codes are active" in line]
    asked, share = codes != "dense" and gate().exact_zeros, getattr(gate(), "k", 0) / D_SAE
    assert lines == [f"{share:.2%} of codes are active: steps are {form}"] * asked


def test_compiled_steps_and_shared_saes_stay_dense(tuned, monkeypatch):
    class Shared(Alone):
        by = "token"

    assert tuned(TopK(4), "sparse", group=Shared())[1].codes == "dense"
    monkeypatch.setattr("rsae.training.compiled_step.compiled", lambda loss: loss)
    monkeypatch.setenv("RSAE_STEP", "compiled")
    _, outcome = tuned(TopK(4), "sparse")
    assert (outcome.step, outcome.codes) == ("compiled", "dense")


def test_another_form_is_refused(tuned):
    with pytest.raises(
        ValueError, match="RSAE_CODES must be dense or sparse, or left unset for the faster form; got 'csr'"
    ):
        tuned(ReLU(), "csr")


CASES = {
    "relu": (ReLU, None),
    "jumprelu": (lambda: JumpReLU(torch.full((D_SAE,), 1.0)), None),
    "topk": (lambda: TopK(4), None),
    "resolvent": (lambda: TopK(6), lambda: Resolvent(torch.zeros(D_SAE), cut=0.3)),
}


@pytest.mark.parametrize("name", CASES)
def test_both_forms_end_alike(tuned, name):
    gate, refine = CASES[name]
    (dense, wanted), (sparse, found) = (tuned(gate(), form, refine and refine()) for form in ("dense", "sparse"))
    assert (wanted.codes, found.codes) == ("dense", "sparse")
    assert found.loss_last == pytest.approx(wanted.loss_last, rel=1e-5)
    assert found.max_code == pytest.approx(wanted.max_code, rel=1e-5)
    assert found.loss_last < 0.95 * found.loss_first
    for (key, a), b in zip(dense.named_parameters(), sparse.parameters(), strict=True):
        # by norm: where a gradient is nothing but rounding, Adam still makes steps of the learning rate's size
        assert float((a - b).norm() / a.norm()) < 1e-4, key
        assert a.stride() == b.stride()  # W_enc lies in columns for as long as it is trained


@pytest.mark.parametrize("name", CASES)
def test_an_interrupted_one_ends_with_the_same_bits_and_in_the_form_that_it_began_in(tuned, tmp_path, name):
    gate, refine = CASES[name]
    whole, outcome = tuned(gate(), "sparse", refine and refine())
    with pytest.raises(SystemExit):
        tuned(gate(), "sparse", refine and refine(), checkpoint=Leaving(tmp_path / "s.pt", "k", 7))
    again, found = tuned(gate(), "", refine and refine(), checkpoint=Checkpoint(tmp_path / "s.pt", "k"))
    assert found.codes == "sparse"  # whatever would be chosen now
    assert (found.loss_last, found.max_code) == (outcome.loss_last, outcome.max_code)
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_without_any_active_code_there_is_still_a_step(make_sae, monkeypatch):
    monkeypatch.setenv("RSAE_CODES", "sparse")
    sae = make_sae(ReLU(), D_IN, D_SAE)
    sae.b_enc.data -= 1000
    W_dec, b_dec = sae.W_dec.detach().clone(), sae.b_dec.detach().clone()
    outcome = finetune(sae, DATA, SETTINGS, seed=0, trains=ALL_PARAMETERS)
    assert outcome.max_code == 0
    assert torch.equal(sae.W_dec, W_dec)
    assert not torch.equal(sae.b_dec, b_dec)


@pytest.mark.parametrize("columns", [False, True])
def test_weights_lie_after_it_as_they_did_before(make_sae, monkeypatch, tmp_path, columns):
    monkeypatch.setenv("RSAE_CODES", "sparse")
    sae = make_sae(TopK(4), D_IN, D_SAE)
    sae.W_enc.data = sae.W_enc.data.T.contiguous().T if columns else sae.W_enc.data.contiguous()
    before = sae.W_enc.stride()
    finetune(sae, DATA, SETTINGS, 0)
    assert sae.W_enc.stride() == before
    sae.save(tmp_path / "sae", {})
    assert torch.equal(SAE.load(tmp_path / "sae").W_enc, sae.W_enc)
