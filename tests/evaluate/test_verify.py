"""The teacher gate lets right teachers through and names what is wrong with others."""

import pytest
import torch

from rsae.evaluate import teacher_check
from rsae.sae.gates.jumprelu import JumpReLU
from rsae.sae.gates.relu import ReLU
from rsae.sae.gates.topk import TopK
from rsae.sae.model import LINEAR, SAE

FIGURES = ("l0", "explained_variance")


@pytest.fixture
def data():
    """Activations around a mean of their own, as a residual stream has."""
    return 3 + torch.randn(500, 8, generator=torch.Generator().manual_seed(1))


def published(sae, data):
    """The figures of ``sae``, by their definitions."""
    z = sae.encode(data)
    x_hat = sae.decode(z, data)
    l0 = float((z != 0).double().sum(1).mean())
    ev = 1 - float((data - x_hat).square().sum() / (data - data.mean(0)).square().sum())
    return {"l0": {"value": l0, "within": 0.02}, "explained_variance": {"value": ev, "within": 0.005}}


def loaded_as(sae, **changed):
    kept = {
        "gate": sae.gate,
        "apply_b_dec_to_input": sae.apply_b_dec_to_input,
        "normalize_activations": sae.normalize_activations,
    }
    return SAE(*(getattr(sae, n) for n in LINEAR), **(kept | changed))


@torch.no_grad()
@pytest.mark.parametrize(
    ("right", "wrong", "cause"),
    [
        ({"gate": JumpReLU(torch.full((32,), 0.5)), "apply_b_dec_to_input": False}, {"apply_b_dec_to_input": True},
         "not subtracting b_dec before encoding"),
        ({"gate": ReLU()}, {"apply_b_dec_to_input": False}, "subtracting b_dec before encoding"),
        ({"gate": TopK(4), "normalize_activations": "layer_norm"}, {"normalize_activations": "none"},
         "normalize_activations: layer_norm"),
        ({"gate": ReLU()}, {"gate": TopK(2)}, "gate kind relu"),
        ({"gate": TopK(2)}, {"gate": ReLU()}, "neither another gate kind nor"),
    ],
)  # fmt: skip
def test_each_mistake_of_loading_is_caught_and_named(make_sae, data, right, wrong, cause):
    correct = make_sae(**right)
    figures, mean = published(correct, data), data.mean(0)

    def measured(sae):
        return teacher_check.Figures(
            *teacher_check.reconstruction(teacher_check.codes_and_output(sae), data.split(64), mean), 0.0
        )

    assert teacher_check.misses(measured(correct), figures) == []
    mistaken = loaded_as(correct, **wrong)
    said = teacher_check.misses(measured(mistaken), figures)
    assert any("published" in s for s in said)
    assert teacher_check.likely_cause(mistaken, list(data.split(64)), mean, figures).startswith(cause)


def test_figures_are_compared_within_their_own_tolerance():
    found = teacher_check.Figures(62.0, 0.93, 0.1)
    coarse = {"l0": {"value": 60.0, "within": 5.0}, "explained_variance": {"value": 0.9, "within": 0.05}}
    assert teacher_check.misses(found, coarse) == []
    fine = {"l0": {"value": 60.0, "within": 0.5}}
    assert teacher_check.misses(found, fine) == ["l0 is 62, published 60 ± 0.5"]
    assert teacher_check.misses(teacher_check.Figures(float("nan"), 0.9, 0.1), fine) != []


def test_two_loaders_may_differ_by_rounding_only():
    one = teacher_check.Figures(62.0, 0.93, 0.1)
    assert teacher_check.disagreements(one, teacher_check.Figures(62.05, 0.93005, 0.10005)) == []
    assert len(teacher_check.disagreements(one, teacher_check.Figures(62.5, 0.94, 0.11))) == 3
