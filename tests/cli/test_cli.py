"""The commands as a person types them, and what they say when something is wrong."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rsae.plan import load_plans, studies

ROOT = Path(__file__).resolve().parents[2]


def rsae(*arguments):
    return subprocess.run([sys.executable, "-m", "rsae", *arguments], cwd=ROOT, capture_output=True, text=True)


def test_fit_gate_prints_the_record():
    done = rsae(*"fit-gate --target jumprelu --theta 0.1 --delta 0.02 --degree 9 8 --json -".split())
    record = json.loads(done.stdout)
    assert set(record) == {
        "target", "theta", "delta", "degree", "num", "den", "center", "safe_pade", "max_error", "grid_mse",
        "grid_mse_excluding_gap", "deviation", "n_alternations", "defect", "n_iter", "converged", "reason",
    }  # fmt: skip
    assert record["max_error"] == pytest.approx(2.1097e-4, rel=1e-3)
    assert len(record["num"]) == 10
    assert len(record["den"]) == 9


def test_fit_gate_writes_ascending_coefficients_around_the_jump(tmp_path):
    # by hand: the best line a t for a sign with gap delta is a = 2 / (1 + delta)
    done = rsae(*f"fit-gate --target sign --delta 0.25 --degree 1 0 --json {tmp_path}/fit.json".split())
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "fit.json").read_text())
    assert record["num"] == [pytest.approx(0, abs=1e-15), pytest.approx(1.6)]
    assert record["den"] == [1]
    assert record["max_error"] == pytest.approx(0.6)
    assert (record["defect"], record["converged"]) == (0, True)
    # and the record evaluates: num / den in u = t - center, on either side of a jump at 0.3
    done = rsae(*"fit-gate --target topk --theta 0.3 --delta 0.05 --degree 9 8 --json -".split())
    record = json.loads(done.stdout)
    assert record["center"] == 0.3
    for t, value in ((-1.0, 0.0), (0.2, 0.0), (0.4, 0.4), (1.0, 1.0)):
        num, den = (sum(c * (t - 0.3) ** i for i, c in enumerate(record[k])) for k in ("num", "den"))
        assert num / den == pytest.approx(value, abs=1.001 * record["max_error"])
        form = record["safe_pade"]
        num, a = (sum(c * (t - 0.3) ** i for i, c in enumerate(form[k])) for k in ("num", "den"))
        assert num / (1 + abs(a)) == pytest.approx(value, abs=1.001 * record["max_error"])


def test_the_suites_do_not_run_the_studies():
    plans = load_plans()
    wanted = {str(path) for plan in plans.values() for path in plan.targets()}
    assert not wanted & {str(path) for path in (*studies.gate_files(), *studies.theory_files())}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("fit-gate", "--target", "relu", "--degree", "40", "2"), "degrees"),
        (("fit-gate", "--target", "jumprelu", "--theta", "0", "--delta", "0.1", "--degree", "9", "8"), "positive"),
        (("fit-gate", "--target", "sign", "--delta", "1", "--degree", "9", "8"), "swallows the interval"),
        (
            ("gates", "--results", "/nonexistent"),
            "make it with `snakemake results/gates/relu/1-1.json` in results/, which",
        ),
        (("fit-gate", "--target", "jumprelu", "--degree", "9", "8"), "takes"),
        (("finetune", "--host", "gpt3", "--teacher", "relu", "--arm", "rsae"), "no host 'gpt3'"),
        (("finetune", "--host", "gpt2-docs", "--teacher", "gelu", "--arm", "rsae"), "no teacher 'gelu'"),
        (("finetune", "--host", "gpt2-docs", "--teacher", "relu", "--arm", "rsea"), "no arm 'rsea'"),
        (("finetune", "--host", "gpt2-docs", "--teacher", "relu", "--arm", "rsae", "--seed", "9"), "seeds [9]"),
        (("tables", "--suite", "papper"), "no suite 'papper'"),
        (
            ("check", "--suite", "quick", "--results", "/nonexistent"),
            "`snakemake results/quick/tables/cells.csv` in results/",
        ),
        (
            ("show", "--suite", "quick", "--results", "/nonexistent"),
            "make it with `snakemake results/quick/tables/",
        ),
        (
            ("harvest", "--host", "gpt2-docs", "--split", "test", "--results", "/nonexistent"),
            "make it with `snakemake results/embedded/gpt2-docs/tokens/test.parquet`",
        ),
    ],
)
def test_a_mistake_is_one_sentence_and_no_traceback(arguments, says):
    done = rsae(*arguments)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_the_projects_own_environment_knows_the_command(tmp_path):
    """From wherever it is called; what stands beside the lock file is as it would be after an installation."""
    (tmp_path / "clone").mkdir()
    for name in ("in-venv", "requirements.lock"):
        shutil.copy2(ROOT / name, tmp_path / "clone")
    (tmp_path / "clone/rsae").symlink_to(ROOT / "rsae")  # the folder that was run instead: "Is a directory"
    (tmp_path / "clone/.venv/bin").mkdir(parents=True)
    shutil.copy2(ROOT / "requirements.lock", tmp_path / "clone/.venv")
    python = tmp_path / "clone/.venv/bin/python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    command = "fit-gate --target sign --delta 0.25 --degree 1 0".split()
    for place, program in ((tmp_path / "clone", "./in-venv"), (tmp_path, "clone/in-venv")):
        done = subprocess.run([program, "rsae", *command], cwd=place, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["num"][1] == pytest.approx(1.6)  # 2 / (1 + delta), by hand
