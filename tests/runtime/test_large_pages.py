"""New tensors come in large pages where the system has them, whatever a command has imported."""

import subprocess
import sys
from pathlib import Path

import pytest

ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")
ROOT = Path(__file__).resolve().parents[2]
STAGES = sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in ROOT.glob("rsae/stages/*/[a-z]*.py"))
CODE = f"""
import importlib, re, torch
for name in {STAGES}:
    importlib.import_module(name)
from rsae.runtime.device import set_up_torch
set_up_torch()
x = torch.zeros(1 << 24)
print(re.search(r"AnonHugePages: +(\\d+) kB", open("/proc/self/smaps_rollup").read())[1])
"""


@pytest.mark.skipif(not ENABLED.is_file() or "[never]" in ENABLED.read_text(), reason="this system has no large pages")
def test_a_commands_tensors_lie_in_large_pages():
    assert len(STAGES) > 25
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, cwd=ROOT)
    assert int(done.stdout.splitlines()[-1]) >= 60_000
