"""The commands as a person types them, and what they say when something is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


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


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("fit-gate", "--target", "relu", "--degree", "40", "2"), "degrees"),
        (("fit-gate", "--target", "jumprelu", "--degree", "9", "8"), "takes"),
        (("finetune", "--host", "gpt3", "--teacher", "relu", "--arm", "rsae"), "no host 'gpt3'"),
        (("finetune", "--host", "gpt2-docs", "--teacher", "gelu", "--arm", "rsae"), "no teacher 'gelu'"),
        (("finetune", "--host", "gpt2-docs", "--teacher", "relu", "--arm", "rsea"), "no arm 'rsea'"),
        (("finetune", "--host", "gpt2-docs", "--teacher", "relu", "--arm", "rsae", "--seed", "9"), "seeds [9]"),
        (("tables", "--suite", "papper"), "no suite 'papper'"),
        (("check", "--suite", "quick", "--results", "/nonexistent"), "cells.csv does not exist; make it with"),
        (("show", "--suite", "quick", "--results", "/nonexistent"), "reconstruction.md does not exist; make it with"),
        (
            ("harvest", "--host", "gpt2-docs", "--split", "test", "--results", "/nonexistent"),
            "make it with `snakemake /nonexistent/embedded/gpt2-docs/tokens/test.parquet`",
        ),
    ],
)
def test_a_mistake_is_one_sentence_and_no_traceback(arguments, says):
    done = rsae(*arguments)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr
