"""Teachers that are loaded as something that they are not.

Transposed, truncated, of another width or gate: tests/sae/loading. Which convention would explain a published figure
that is missed: tests/evaluate/test_verify.py. Here is what those leave: the site, and a scale that is folded twice.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch

from rsae.evaluate import teacher_check
from rsae.runtime.files import read_sealed
from rsae.sae import loading
from tests import checkpoints
from tests.faults import pipeline

W = checkpoints.tensors(16, 64)
EMBEDDED = Path("assets/embedded/teachers/relu")


def test_a_teacher_of_another_site_is_refused(tmp_path):
    assert loading.load(EMBEDDED, "relu", 128, hook="blocks.1.hook_resid_post").d_in == 128
    with pytest.raises(
        ValueError, match=r"trained at blocks\.1\.hook_resid_post, and blocks\.2\.hook_resid_post is read"
    ):
        loading.load(EMBEDDED, "relu", 128, hook="blocks.2.hook_resid_post")
    # the end of one block is the beginning of the next
    assert loading.load(EMBEDDED, "relu", 128, hook="blocks.2.hook_resid_pre").d_in == 128
    # dictionary_learning's word for layer 8
    folder = checkpoints.dictionary_learning(tmp_path / "sae", "AutoEncoder", W)
    assert loading.load(folder, "relu", 16, hook="blocks.8.hook_resid_post").d_in == 16
    with pytest.raises(ValueError, match="trained at resid_post_layer_8"):
        loading.load(folder, "relu", 16, hook="blocks.7.hook_resid_post")
    # files that do not say are taken at the suite's word; what they say is known, or refused
    assert loading.load(checkpoints.sae_lens(tmp_path / "b", W), "relu", 16, hook="blocks.3.hook_resid_pre").d_in == 16
    path = folder / "config.json"
    said = path.read_text()
    for name, says in {"gpt_neox.layers.8": "was trained at gpt_neox.layers.8", "layer eight": "is not known"}.items():
        path.write_text(said.replace("resid_post_layer_8", name))
        with pytest.raises(ValueError, match=says):
            loading.load(folder, "relu", 16, hook="blocks.3.hook_resid_pre")


def test_the_stage_says_so(project, rsae):
    teacher = Path(shutil.copytree(pipeline.ROOT / EMBEDDED, project / "teacher"))
    cfg = json.loads((teacher / "cfg.json").read_text())
    cfg["metadata"]["hook_name"] = "blocks.0.hook_resid_post"
    (teacher / "cfg.json").write_text(json.dumps(cfg))
    suite = project / "config/suites/tiny.yaml"
    suite.write_text(suite.read_text().replace(f"{pipeline.ROOT}/assets/embedded/teachers/relu", "teacher"))
    said = rsae(f"import-teacher --host {pipeline.HOST} --teacher relu")
    assert "teacher teacher was trained at blocks.0.hook_resid_post" in said


def test_a_teacher_without_published_figures_was_held_against_nothing(project, unbroken):
    """The suite of this folder publishes none: file and log say so, for then a wrong convention can pass."""
    pair = f"results/tiny/{pipeline.HOST}/relu/verified.json"
    assert read_sealed(project / pair)["held_against"] == []
    assert "no figure of it is published" in (unbroken.folder / "log.txt").read_text()


@torch.no_grad()
def test_a_scale_that_is_folded_twice_misses_the_published_figures(tmp_path):
    """The files hold the factor, and the owner states it again for weights that it is folded into already."""
    path, scale = tmp_path / "ae.pt", 0.25
    torch.save({**checkpoints.state_dict("AutoEncoder", W), "input_scale": torch.tensor(scale)}, path)
    once = loading.load(path, "relu", 16)
    folded = {**checkpoints.state_dict("AutoEncoder", W)}
    folded["encoder.weight"], folded["decoder.weight"] = once.W_enc.T.contiguous(), once.W_dec.T.contiguous()
    folded["bias"] = once.b_dec
    torch.save(folded, path)
    twice = loading.load(path, "relu", 16, stated={"input_scale": scale})
    x = once.b_dec + 4 * torch.randn(500, 16, generator=torch.Generator().manual_seed(1))

    def measured(sae):
        found = teacher_check.reconstruction(teacher_check.codes_and_output(sae), x.split(100), x.double().mean(0))
        return teacher_check.Figures(*found, 0.0)

    right = measured(once)
    published = {
        "l0": {"value": right.l0, "within": 0.05 * right.l0},
        "explained_variance": {"value": right.explained_variance, "within": 0.02},
    }
    assert teacher_check.misses(measured(loading.load(path, "relu", 16)), published) == []
    assert len(teacher_check.misses(measured(twice), published)) == 2
