"""A command reads nothing that it does not declare: on a cluster without a shared folder there is nothing else."""

import os
import shutil
from multiprocessing import get_context
from pathlib import Path

from rsae.cli import _do
from rsae.plan import Job, Plan, load_plans
from tests.faults import pipeline
from tests.faults.pipeline import HOST, TEACHER


def jobs(plan: Plan) -> list[Job]:
    """Every command of the tiny suite but the one for the gate, which reads nothing, and what reports need."""
    splits = ("test", "threshold", "calibration", "finetune")
    return [
        plan.text(),
        *(plan.tokens(HOST, split) for split in splits),
        *(plan.harvest(HOST, split) for split in splits),
        plan.import_teacher(HOST, TEACHER),
        plan.verify_teacher(HOST, TEACHER),
        plan.init(HOST, TEACHER, "rsae_init"),
        *(plan.finetune(HOST, TEACHER, arm) for arm in ("teacher_ft", "rsae")),
        plan.evaluate_reconstruction(HOST, TEACHER),
        plan.evaluate_downstream(HOST, TEACHER),
        plan.anatomy(HOST, TEACHER),
        plan.examine(HOST, TEACHER),
        plan.tabulate(),
        plan.run_card(),
        plan.report(),
    ]


def _alone(finished: Path, place: Path) -> None:
    os.chdir(finished)
    os.environ |= pipeline.ENVIRONMENT
    made = Path("features.json")
    for number, job in enumerate(jobs(load_plans()["tiny"])):
        folder = place / f"{number}-{job.stage}"
        folder.mkdir()
        for path in job.inputs:
            source = place / made if path.name == made.name else finished / path  # which the suite itself has not made
            if not path.is_absolute():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / path)
        os.chdir(folder)
        _do(job)
        if job.stage == "examine":
            shutil.copy2(job.arguments["out"], place / made)
        os.chdir(finished)


def test_a_command_finds_all_that_it_reads_among_what_it_declares(unbroken, tmp_path):
    process = get_context("forkserver").Process(target=_alone, args=(unbroken.folder, tmp_path))
    process.start()
    process.join()
    tried = sorted((path for path in tmp_path.iterdir() if path.is_dir()), key=lambda p: int(p.name.partition("-")[0]))
    assert process.exitcode == 0, f"{tried[-1].name} failed, see above"
    assert len(tried) == 21
    assert tried[-1].name == "20-report"
