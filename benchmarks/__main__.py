"""Every comparison in one process tree: ``python -m benchmarks`` writes results/speed.json and draws it.

``python -m benchmarks NAME ...`` runs some and keeps the other results; each runs in a process of its own.
"""

import argparse
import datetime
import importlib
import json
import os
import platform
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

CPU = ("counted", "products", "gate", "step", "shards", "harvest", "downstream", "encode", "growth")
KEPT = Path(__file__).parent / "results/speed.json"


def one(name: str) -> Any:
    """Run one benchmark in this process, set up as the product's commands are."""
    from rsae.runtime.device import set_up_torch

    set_up_torch()
    warnings.simplefilter("ignore")
    return importlib.import_module(f"benchmarks.{name}").run()


def apart(name: str) -> dict[str, Any]:
    """Run one benchmark in a process of its own, and say when and beside how much other work."""
    code = f"import json; from benchmarks.__main__ import one; print(json.dumps(one({name!r})))"
    env = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=env)
    if done.returncode:
        sys.exit(f"benchmark {name} failed, see above")
    return {
        "found": json.loads(done.stdout.splitlines()[-1]),
        "date": datetime.datetime.now().isoformat(timespec="minutes"),
        "load_average": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    """Run, write after each, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(CPU)}")
    names = parser.parse_args().names or CPU
    if unknown := set(names) - {*CPU, "gpu"}:
        sys.exit(f"no benchmark is named {', '.join(sorted(unknown))}; there are {', '.join((*CPU, 'gpu'))}")
    kept = json.loads(KEPT.read_text()) if KEPT.is_file() else {}
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        kept[name] = apart(name)
        kept["machine"] = {"platform": platform.platform(terse=True), "cpu": _cpu(), "threads": 1}
        KEPT.write_text(json.dumps(kept, indent=2) + "\n")
    importlib.import_module("benchmarks.draw").main()


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
