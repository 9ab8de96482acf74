"""Wall time and summed resident memory of a whole suite: ``python -m benchmarks.suite quick``.

Runs in a copy of the committed tree, so that nothing is there yet; writes one JSON.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
INTERVAL = 0.5  # seconds between looks at the memory


def measure(command: list[str], folder: Path, env: dict[str, str]) -> dict[str, float]:
    """Run ``command``; seconds, and the largest sum of proportional set sizes of its process tree in MB."""
    start, peak = time.monotonic(), 0.0
    with open(folder / "benchmark.log", "w") as log:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log)
        while process.poll() is None:
            peak = max(peak, _resident(process.pid))
            time.sleep(INTERVAL)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{(folder / 'benchmark.log').read_text()[-3000:]}")
    return {"wall_s": round(time.monotonic() - start, 1), "peak_memory_mb": round(peak / 1e6, 1)}


def _resident(pid: int) -> float:
    """Shared pages are counted once: each process carries its share of them."""
    total = 0.0
    try:
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            total += process.memory_full_info().pss
    except psutil.Error:  # it ended while we looked
        pass
    return total


def main() -> None:
    """Measure one suite."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite")
    parser.add_argument("--cores", default="2")
    parser.add_argument("--no-compiler", action="store_true", help="as on a machine without a C++ compiler")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
        # a compile cache of its own, so that compilation is paid for
        env = os.environ | {"RSAE_CACHE": str(Path(name) / "cache")}
        if arguments.no_compiler:
            env["RSAE_GATE"] = "tiled"
        found = measure(["snakemake", "--cores", arguments.cores, arguments.suite], folder, env)
        card = json.loads((folder / f"results/{arguments.suite}/run-card.json").read_text())
        found |= {
            "suite": arguments.suite,
            "cores": arguments.cores,
            "date": datetime.date.today().isoformat(),
            "machine": platform.platform(terse=True),
            **{k: card[k] for k in ("commit", "device", "cpu_capability", "gate_paths", "rules")},
        }
        kept = ROOT / f"benchmarks/results/suite-{arguments.suite}{'-no-compiler' * arguments.no_compiler}.json"
        kept.write_text(json.dumps(found, indent=2) + "\n")
        print(json.dumps({k: found[k] for k in ("wall_s", "peak_memory_mb")}))
        # the tables of the measured run, for whoever wants to compare
        subprocess.run(["cp", "-r", str(folder / "results" / arguments.suite), str(ROOT / "results")], check=True)


if __name__ == "__main__":
    main()
