"""Three cheats planted in the files of a suite, each caught by the stage that makes its tables."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from rsae.evaluate import per_document
from rsae.runtime.files import sealed, write_json
from rsae.sae.model import LINEAR
from rsae.stages.tables import tables

N_DOC, D_SAE = 60, 16
ARMS = ("teacher", "teacher_ft", "rsae_init", "rsae")


@pytest.fixture
def suite(tmp_path):
    """Writes the sums of a pair, {arm: (mse, l0)} on raw and on hard codes, and makes the tables."""

    def run(raw, hard, tokens=None, spoil=None):
        rng = np.random.default_rng(0)
        n_tok = rng.integers(20, 60, N_DOC).astype(float)
        noise = {arm: 1 + 0.05 * np.random.default_rng(i).normal(size=N_DOC) for i, arm in enumerate(ARMS)}
        judged = {"reconstruction": {}, "downstream": {}}
        saes = {}
        for arm in ARMS:
            for support, numbers in (("raw", raw), ("hard", hard)):
                mse, l0 = numbers[arm]
                error = mse * noise[arm] if arm != spoil else mse * noise["teacher"]
                cell = per_document.Cell(arm, 0, support)
                judged["reconstruction"][cell] = {
                    "n_tok": n_tok, "sse": error * n_tok, "sst": 100 * n_tok, "active": l0 * n_tok,
                    "effective": l0 * n_tok, "energy": n_tok, "leaked": 0 * n_tok, "negative": 0 * n_tok,
                    "fired": np.ones((N_DOC, D_SAE), bool), "d_in": np.full(N_DOC, 4), "d_sae": np.full(N_DOC, D_SAE),
                }  # fmt: skip
                judged["downstream"][cell] = {
                    "n_pred": n_tok, "ce_clean": 3 * n_tok, "ce_zero": 8 * n_tok, "ce_mean": 7 * n_tok,
                    "ce_spliced": (3 + error / 50) * n_tok, "kl": error / 50 * n_tok,
                }  # fmt: skip
            folder, report = tmp_path / arm, tmp_path / f"{arm}.json"
            folder.mkdir(exist_ok=True)
            save_file({name: torch.zeros(2) for name in LINEAR}, folder / "sae_weights.safetensors")
            write_json(report, sealed({"seconds": 1.0, "tokens_trained": (tokens or {}).get(arm, 1000)}))
            saes["h", "t", arm, 0] = folder, report if arm in ("teacher_ft", "rsae") else None
        files = {name: tmp_path / f"{name}.parquet" for name in judged}
        for name, content in judged.items():
            per_document.write(files[name], content)
        tables.run({("h", "t"): files}, saes, tmp_path / "tables", suite="s", seeds={"h/t": 1}, not_run={})
        return {path.name: path.read_text() for path in (tmp_path / "tables").iterdir()}

    return run


SAME = dict.fromkeys(ARMS, (5.0, 20.0))


def claim(text, title):
    (found,) = (part for part in text.split("\n## ") if part.startswith(title))
    return found.splitlines()[2]


def test_a_win_by_leakage(suite):
    """Raw codes win by half with every feature on; on codes that are counted they do not."""
    made = suite(raw=SAME | {"rsae": (2.5, 2048.0)}, hard=SAME | {"rsae": (5.6, 20.0)})
    said = claim(made["claims.md"], "C2. It beats the teacher: raw codes")
    assert said.startswith("**Does not hold on every teacher**")
    assert "paid for with more active features" in said
    assert claim(made["claims.md"], "C2, against the teacher that got the same").startswith("**Does not hold")
    # counted as the paper counts, error and loss are won; by the strict rule nothing is
    counted = next(line for line in made["strict.md"].splitlines() if line.startswith("| rsae ") and "| raw" in line)
    assert [c.strip() for c in counted.split("|")[4:6]] == ["1 of 3 (0)", "2 of 2 (0)"]


def test_an_honest_win_is_let_through(suite):
    made = suite(raw=SAME | {"rsae": (4.0, 20.0)}, hard=SAME | {"rsae": (4.0, 20.0)})
    assert claim(made["claims.md"], "C2, against the teacher that got the same") == "**Holds on every teacher**: h/t."


def test_an_untuned_control(suite):
    with pytest.raises(ValueError, match=r"h/t: teacher_ft with seed 0 is the untuned teacher"):
        suite(raw=SAME | {"rsae": (4.0, 20.0)}, hard=SAME | {"rsae": (4.0, 20.0)}, spoil="teacher_ft")


def test_a_control_with_a_smaller_budget(suite):
    with pytest.raises(ValueError, match=r"unlike numbers of tokens \(teacher_ft: 500; rsae: 1000\)"):
        suite(raw=SAME, hard=SAME, tokens={"teacher_ft": 500})


@pytest.mark.parametrize("arm", ["teacher_ft", "rsae"])
def test_a_nan(suite, arm):
    with pytest.raises(ValueError, match=rf"sse of {arm}, seed 0, raw codes is not finite"):
        suite(raw=SAME | {arm: (float("nan"), 20.0)}, hard=SAME)
