"""Which device is chosen, and that a GPU, where there is one, gives the CPU's numbers."""

import numpy as np
import pandas as pd
import pytest
import torch

from rsae.runtime import device
from tests.faults import pipeline


def test_a_gpu_is_used_where_there_is_one(monkeypatch):
    monkeypatch.delenv("RSAE_DEVICE", raising=False)
    assert device.device().type == ("cuda" if torch.cuda.is_available() else "cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device.device() == torch.device("cuda:0")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert device.device() == torch.device("cuda:1")
    monkeypatch.setenv("RSAE_DEVICE", "cpu")
    assert device.device() == torch.device("cpu")
    assert device.named().startswith("CPU: ")


@pytest.mark.parametrize("wanted", ["gpu", "cuda:9", "cuda:x", "meta"])
def test_a_device_that_is_not_there_is_refused_by_name(monkeypatch, wanted):
    monkeypatch.setenv("RSAE_DEVICE", wanted)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match=f"RSAE_DEVICE.*{wanted}"):
        device.device()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_all_stages_give_the_same_numbers_on_a_gpu(tmp_path, monkeypatch):
    found = {}
    for where in ("cpu", "cuda"):
        monkeypatch.setenv("RSAE_DEVICE", where)
        folder = pipeline.project(tmp_path / where)
        pipeline.finish(folder)
        cells = pd.read_csv(folder / "results/tiny/tables/cells.csv")
        found[where] = cells.set_index(["arm", "seed", "support", "metric"])["value"]
    assert len(found["cpu"]) > 100
    assert found["cpu"].index.equals(found["cuda"].index)
    # twenty steps of Adam on products that are summed in another order
    np.testing.assert_allclose(found["cuda"], found["cpu"], rtol=1e-2, atol=1e-3)
