"""One contract for every arm that is declared; a new file in rsae/arms is picked up here."""

import json
from pathlib import Path

import pytest
import torch

from rsae.arms import Inputs, arms
from rsae.config.types import KINDS
from rsae.rational.record import fitted
from rsae.sae.gates.jumprelu import JumpReLU
from rsae.sae.gates.relu import ReLU
from rsae.sae.gates.topk import TopK
from rsae.sae.model import SAE
from rsae.training import objectives
from rsae.training.finetune import Settings, finetune

ARMS = Path(__file__).resolve().parents[2] / "rsae/arms"
CASES = [(kind, name) for kind in KINDS for name in arms(kind)]
D_SAE = 32


@pytest.fixture(scope="module")
def fits():
    jump = {"theta": 0.1, "delta": 0.02}
    return {
        (target, degree): json.loads(json.dumps(fitted(target=target, degree=degree, **keys)))
        for target, degree, keys in [("relu", (3, 2), {}), ("relu", (9, 8), {}), ("jumprelu", (9, 8), jump)]
    }


@pytest.fixture
def built(make_sae, fits):
    """The SAE that an arm is, or starts its fine-tune as."""
    gates = {"relu": ReLU(), "jumprelu": JumpReLU(torch.linspace(0.2, 0.6, D_SAE)), "topk": TopK(4)}

    def build(kind, name):
        arm, teacher = arms(kind)[name], make_sae(gates[kind])
        if arm.tuned:
            start = build(kind, arm.start)
            return arm.prepare(start) if arm.prepare else start
        if arm.build is None:
            return teacher
        data = [torch.randn(400, 8, generator=torch.Generator().manual_seed(1))]
        fit = fits[arm.design.target, arm.design.degree] if arm.design else None
        sae, facts = arm.build(teacher, Inputs(data, fit, False))
        json.dumps(facts, allow_nan=False)
        return sae

    return build


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_contract(built, tmp_path, kind, name):
    arm, sae = arms(kind)[name], built(kind, name)
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(2))
    before = {k: v.detach().clone() for k, v in sae.named_parameters()}
    if arm.tuned:
        assert arm.start in arms(kind)
        assert not arms(kind)[arm.start].tuned
        settings = Settings(5, 32, 1e-3, 1e-3, 0.2, 0.05, arm.objective or "own")
        finetune(sae, x, settings, seed=0, trains=arm.trains)
        moved = {k for k, v in sae.named_parameters() if not torch.equal(v, before[k])}
        assert moved
        assert all(k.startswith(arm.trains) for k in moved)
    sae.save(tmp_path / "sae", {"arm": name})
    again = SAE.load(tmp_path / "sae")
    with torch.no_grad():
        h = sae.preactivations(x)
        torch.testing.assert_close(again.preactivations(x), h)
        z = sae.gate(h)  # of the same numbers: a jump's slope magnifies the last bit of a product
        torch.testing.assert_close(again.gate(h), z)
        if sae.refine is not None:
            torch.testing.assert_close(again.refined(x, z), sae.refined(x, z))
        if sae.gate.exact_zeros:
            assert (sae.encode(x) == 0).any()
        assert torch.isfinite(objectives.loss(again, x, "own", 0.1)[0])


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k, n in CASES if arms(k)[n].prepare])
def test_what_is_prepared_starts_near_its_start(built, kind, name):
    """Curves and scales start as the identity; thresholds and steps, which cannot, must not do harm."""
    x = torch.randn(200, 8, generator=torch.Generator().manual_seed(2))
    start, sae = built(kind, arms(kind)[name].start), built(kind, name)
    with torch.no_grad():
        if name.startswith(("rescale", "support_")):
            torch.testing.assert_close(sae.encode(x), start.encode(x), atol=1e-5, rtol=1e-5)
        errors = [float((x - s.decode(s.encode(x))).square().sum(1).mean()) for s in (start, sae)]
    assert errors[1] < 1.2 * errors[0]


def test_a_file_is_short():
    files = sorted(ARMS.rglob("[a-z]*.py"))
    assert len(files) >= 11
    for path in files:
        assert len(path.read_text().splitlines()) <= 80, path


def test_two_arms_of_one_name_are_refused(monkeypatch):
    from rsae.arms import teacher

    monkeypatch.setattr(teacher, "ARMS", [*teacher.ARMS, arms("topk")["resolvent"]])
    arms.cache_clear()
    try:
        with pytest.raises(ValueError, match=r"both declare the arm 'resolvent'"):
            arms("topk")
    finally:
        arms.cache_clear()
