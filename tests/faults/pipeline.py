"""A tiny suite, run to its tables in one process: what kills, damage and odd folders are tried on."""

import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rsae.plan import DIGESTS, TEXT_SPLITS, Job, Plan, load_plans

ROOT = Path(__file__).resolve().parents[2]
HOST, TEACHER = "tiny-host", "relu"
TEXT = f"""
source: docstrings
packages: [huggingface_hub]
shares: {{{", ".join(f"{split}: 0.2" for split in TEXT_SPLITS)}}}
"""
SUITE = f"""
seed: 1
seeds: [0]
text: tiny
gate: {{theta: 0.1, delta: 0.02}}
finetune: {{steps: 20, batch: 64, slow_lr: 1.0e-4, decay_share: 0.2}}
hosts:
  {HOST}:
    path: {ROOT}/assets/embedded/host
    hook: blocks.1.hook_resid_post
    ctx: 64
    bos: true
    n_shards: 2
    tokens: {{test: 300, threshold: 300, tuning: 300, calibration: 300, finetune: 600}}
    max_rows_per_document: {{test: 1, threshold: 1, tuning: 1, calibration: 1}}
    teachers:
      {TEACHER}:
        path: {ROOT}/assets/embedded/teachers/{TEACHER}
        kind: {TEACHER}
        l1_coefficient: 1.42
        lr: 1.0e-3
        arms: [teacher, teacher_ft, rsae_init, rsae]
"""
# a state at every step: wherever a fine-tune is killed, there is one to continue from
ENVIRONMENT = {"RSAE_GATE": "tiled", "RSAE_CHECKPOINT_SECONDS": "0", "HF_TOKEN": "hf_thisIsNoRealTokenAndIsInNoLog"}
# differs between two runs of the same work: seconds
TIMED = (
    "training.json", "run-card.json", "reconstruction.md", "downstream.md", "claims.md", "digests.json", "log.txt",
)  # fmt: skip


def project(folder: Path, inside: bool = False) -> Path:
    """The tiny suite in a folder: all there is in an empty one. ``inside``: host and teacher are the folder's own."""
    for name, text in (("suites", SUITE), ("text", TEXT)):
        (folder / "config" / name).mkdir(parents=True, exist_ok=True)
        (folder / "config" / name / "tiny.yaml").write_text(text.replace(f"{ROOT}/", "") if inside else text)
    return folder


def commands(plan: Plan) -> Iterator[tuple[list[str], list[Path]]]:
    """Every command of the suite, in an order that works, with the files that Snakemake holds it to."""
    pair = ["--host", HOST, "--teacher", TEACHER]

    def out(job: Job) -> list[Path]:
        return [job.arguments["out"]]

    text = plan.root / "text"
    yield ["text", "--suite", "tiny"], [*(text / f"{s}.jsonl" for s in TEXT_SPLITS), text / "manifest.json"]
    for split in ("test", "threshold", "calibration", "finetune"):
        yield ["tokens", "--host", HOST, "--split", split], [plan.token_file(HOST, split)]
        yield ["harvest", "--host", HOST, "--split", split], [plan.activations(HOST, split)]
    fit = plan.results / "gates/relu/3-2.json"
    yield ["fit-gate", "--target", "relu", "--degree", "3", "2", "--json", str(fit)], [fit]
    yield ["import-teacher", *pair], plan.sae_files(HOST, TEACHER, "teacher", 0)
    yield ["verify-teacher", *pair], [plan.verified(HOST, TEACHER)]
    yield ["init", *pair, "--arm", "rsae_init"], plan.sae_files(HOST, TEACHER, "rsae_init", 0)
    for arm in ("teacher_ft", "rsae"):
        files = [*plan.sae_files(HOST, TEACHER, arm, 0), plan.training(HOST, TEACHER, arm, 0)]
        yield ["finetune", *pair, "--arm", arm], files
    yield ["evaluate-reconstruction", *pair], out(plan.evaluate_reconstruction(HOST, TEACHER))
    yield ["evaluate-downstream", *pair], out(plan.evaluate_downstream(HOST, TEACHER))
    yield ["tables", "--suite", "tiny"], [*plan.tables(), plan.cells_file().with_name(DIGESTS)]
    yield ["run-card", "--suite", "tiny"], out(plan.run_card())


def run(folder: str, umask: int = 0o022) -> None:
    """As Snakemake would: every command that lacks a file, and nothing else."""
    from rsae.cli import app

    os.umask(umask)
    os.chdir(folder)
    os.environ |= ENVIRONMENT
    log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    for arguments, files in commands(load_plans()["tiny"]):
        if not all(path.exists() for path in files):
            print(f"{time.monotonic():.2f} {' '.join(arguments)}", flush=True)
            app(arguments, standalone_mode=False)


def start(folder: Path, umask: int = 0o022) -> Any:
    """:func:`run` in a process of its own, forked from one that has imported the libraries."""
    context = multiprocessing.get_context("forkserver")
    stages = [f"rsae.stages.{path.stem}" for path in (ROOT / "rsae/stages").glob("[a-z]*.py")]
    context.set_forkserver_preload(["sae_lens", *stages])
    process = context.Process(target=run, args=(str(folder), umask))
    process.start()
    return process


def finish(folder: Path, umask: int = 0o022) -> None:
    """Run to the end."""
    process = start(folder, umask)
    process.join()
    if process.exitcode:
        sys.exit((folder / "log.txt").read_text()[-3000:])


def results(folder: Path) -> dict[str, bytes]:
    """What a run made, but for what holds seconds, and for what a kill left under a hidden name."""
    files = {p.relative_to(folder): p for p in (folder / "results").rglob("*") if p.is_file()}
    seen = {name: path for name, path in files.items() if not any(part.startswith(".") for part in name.parts)}
    return {str(name): path.read_bytes() for name, path in seen.items() if path.name not in TIMED}
