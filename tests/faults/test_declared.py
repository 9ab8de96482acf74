"""A command reads nothing that it does not declare: on a cluster without a shared folder there is nothing else."""

import os
import shutil
from multiprocessing import get_context
from pathlib import Path

from rsae.cli import _do
from rsae.plan import Job, Plan, load_plans
from tests.faults import pipeline
from tests.faults.pipeline import HOST, ROOT, TEACHER


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
    os.environ |= pipeline.ENVIRONMENT
    made = Path("features.json")
    number = 0
    while number == 0 or number < len(jobs(load_plans()["tiny"])):
        folder = place / f"{number}"
        folder.mkdir()
        # the planner sees as little as the command does
        shutil.copytree(place / "config", folder / "config")
        os.chdir(folder)
        job = jobs(load_plans()["tiny"])[number]
        for path in job.inputs:
            # what the suite itself has not made, what is committed, what it has made
            source = (
                place / made if path.name == made.name else (ROOT if path.parts[0] == "assets" else finished) / path
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, path)
        again = jobs(load_plans()["tiny"])[number]
        assert again.inputs == job.inputs
        _do(again)
        if job.stage == "examine":
            shutil.copy2(job.arguments["out"], place / made)
        (place / "done").write_text(job.stage)
        number += 1


def test_a_command_finds_all_that_it_reads_among_what_it_declares(unbroken, tmp_path):
    for name, text in (("suites", pipeline.SUITE), ("text", pipeline.TEXT)):
        (tmp_path / "config" / name).mkdir(parents=True)
        (tmp_path / "config" / name / "tiny.yaml").write_text(text.replace(f"{ROOT}/", ""))
    process = get_context("forkserver").Process(target=_alone, args=(unbroken.folder, tmp_path))
    process.start()
    process.join()
    last = (tmp_path / "done").read_text()
    assert process.exitcode == 0, f"what comes after {last} failed, see above"
    assert last == "report"
    assert (tmp_path / "20").is_dir()
