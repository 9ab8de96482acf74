"""Which jobs an edit plans, exactly."""

HOST = "--host gpt2-docs-quick"
TABLES = {"tables --suite quick", "run-card --suite quick"}


def evaluations(*teachers):
    return {f"evaluate-{j} {HOST} --teacher {t}" for t in teachers for j in ("reconstruction", "downstream")}


def finetunes(*teachers):
    return {f"finetune {HOST} --teacher {t} --arm {a}" for t in teachers for a in ("teacher_ft", "rsae")}


def test_a_second_run_does_nothing(quick):
    assert quick.planned("quick") == set()


def test_one_pairs_entry_reruns_that_pair_and_the_tables(untouched):
    untouched.edit("config/suites/quick.yaml", "l1_coefficient: 1.42", "l1_coefficient: 1.41")
    assert untouched.planned("quick") == finetunes("relu") | evaluations("relu") | TABLES


def test_the_hosts_entry_reruns_the_host_and_the_tables(untouched):
    untouched.edit("config/suites/quick.yaml", "n_shards: 2", "n_shards: 3")
    planned = untouched.planned("quick")
    stages = {c.split()[0] for c in planned}
    assert "text" not in stages
    assert "tokens" not in stages
    assert "fit-gate" not in stages
    assert {f"harvest {HOST} --split {s}" for s in ("test", "threshold", "calibration", "finetune")} <= planned
    every = ("relu", "jumprelu", "topk")
    assert finetunes(*every) | evaluations(*every) | TABLES <= planned
    assert len(planned) == 4 + 3 + 3 + 3 + 6 + 6 + 2  # harvest, import, verify, init, finetune, evaluate, tables


def test_code_reruns_exactly_the_stages_that_use_it(untouched):
    untouched.edit("rsae/report/stats/bootstrap.py", "LEVEL = 0.95", "LEVEL = 0.9")
    assert untouched.planned("quick") == TABLES
    every = ("relu", "jumprelu", "topk")
    untouched.edit("rsae/report/tables/writing.py", "3 - math", "4 - math")
    assert untouched.planned("quick") == TABLES
    untouched.edit("rsae/stages/evaluation/evaluate_downstream.py", "n_doc = 1 + max", "n_doc = +1 + max")
    assert untouched.planned("quick") == TABLES | {f"evaluate-downstream {HOST} --teacher {t}" for t in every}
    untouched.edit("rsae/training/finetune.py", "CHECK_EVERY = 50", "CHECK_EVERY = 40")
    assert untouched.planned("quick") == TABLES | finetunes(*every) | evaluations(*every)


def test_nothing_is_upgraded_before_the_teacher_gate(untouched):
    """A figure that was published is held against the teacher again, and so is whatever measures it."""
    untouched.edit(
        "config/suites/quick.yaml", "kind: topk", "kind: topk\n        published: {l0: {value: 24, within: 9}}"
    )
    gate = {f"verify-teacher {HOST} --teacher topk", f"init {HOST} --teacher topk --arm rsae_init"}
    assert untouched.planned("quick") == gate | finetunes("topk") | evaluations("topk") | TABLES
    untouched.edit("rsae/evaluate/downstream.py", "BATCH = 32", "BATCH = 16")
    every = ("relu", "jumprelu", "topk")
    gates = {f"verify-teacher {HOST} --teacher {t}" for t in every}
    inits = {f"init {HOST} --teacher {t} --arm rsae_init" for t in every}
    assert untouched.planned("quick") == gates | inits | finetunes(*every) | evaluations(*every) | TABLES


def test_a_comment_or_a_docstring_plans_nothing(untouched):
    untouched.edit("rsae/training/finetune.py", "CHECK_EVERY = 50", "# why fifty\nCHECK_EVERY = 50")
    untouched.edit("rsae/data/activations/shards.py", '"""A finished folder', '"""A whole folder')
    untouched.edit("config/suites/quick.yaml", "seed: 1\n", "# a seed\nseed: 1\n")
    untouched.edit("requirements.lock", "torch==", "# the compiler\ntorch==")
    assert untouched.planned("quick") == set()


def test_another_lock_file_reruns_everything(untouched):
    untouched.edit("requirements.lock", "torch==2.13.0", "torch==2.13.1")
    stages = {c.split()[0] for c in untouched.planned("quick")}
    assert stages == {
        "text", "tokens", "harvest", "fit-gate", "import-teacher", "verify-teacher", "init", "finetune",
        "evaluate-reconstruction", "evaluate-downstream", "tables", "run-card",
    }  # fmt: skip
