"""A command reads nothing that it does not declare: on a cluster without a shared folder there is nothing else."""

import os
import shutil
from multiprocessing import get_context
from pathlib import Path

from rsae.cli.stages import do
from rsae.plan import Job, Plan, load_plans
from tests.faults import pipeline
from tests.faults.pipeline import HOST, ROOT, TEACHER

N_JOBS = 21


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
    features = place / "features.json"  # which the suite itself has not made
    for number in range(N_JOBS):
        # the planner sees as little as the command does
        os.chdir(pipeline.project(place / f"{number}", inside=True))
        job = jobs(load_plans()["tiny"])[number]
        for path in job.inputs:
            where = ROOT if path.parts[0] == "assets" else finished
            source = features if path.name == features.name else where / path
            path.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, path)
        again = jobs(load_plans()["tiny"])[number]
        assert again.inputs == job.inputs
        do(again, Path("results"))
        if job.stage == "evaluation.examine":
            shutil.copy2(job.arguments["out"], features)
        (place / "done").write_text(job.stage)


def test_a_command_finds_all_that_it_reads_among_what_it_declares(unbroken, tmp_path, monkeypatch):
    monkeypatch.chdir(unbroken.folder)
    assert len(jobs(load_plans()["tiny"])) == N_JOBS
    process = get_context("forkserver").Process(target=_alone, args=(unbroken.folder, tmp_path))
    process.start()
    process.join()
    last = (tmp_path / "done").read_text()
    assert process.exitcode == 0, f"what comes after {last} failed, see above"
    assert last == "tables.report"
    assert (tmp_path / f"{N_JOBS - 1}").is_dir()
