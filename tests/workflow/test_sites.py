"""Sites of a host that read the same rows: one harvest of a split makes the folders of all."""

import json

from tests.faults import pipeline
from tests.workflow.project import Project

SITES = """sites:
      shallow: {hook: blocks.1.hook_resid_post, ctx: 64, bos: true}
      centred: {hook: blocks.1.hook_resid_post, ctx: 64, bos: true, center_writing_weights: true}
      long: {hook: blocks.1.hook_resid_post, ctx: 128, bos: true}"""


def test_a_harvest_is_planned_for_rows_and_not_for_sites(tmp_path):
    project = Project(tmp_path / "project")
    suite = pipeline.SUITE.replace("hook: blocks.1.hook_resid_post\n    ctx: 64\n    bos: true", SITES)
    start = suite.index("      relu:")
    one = suite[start:].rstrip().replace(", rsae_init, rsae", "")
    suite = suite[:start] + "\n".join(
        one.replace("relu:\n", f"at-{site}:\n        site: {site}\n", 1) for site in ("shallow", "centred", "long")
    )
    (project.folder / "config/suites/tiny.yaml").write_text(suite)
    (project.folder / "config/text/tiny.yaml").write_text(pipeline.TEXT)
    planned = project.planned("tiny")
    splits = ("test", "threshold", "calibration", "finetune")
    for stage in ("tokens", "harvest"):
        assert {c for c in planned if c.startswith(stage)} == {
            f"{stage} --host tiny-host/{site} --split {split}" for site in ("shallow", "long") for split in splits
        }
    assert {
        f"import-teacher --host tiny-host --teacher at-{site}" for site in ("shallow", "centred", "long")
    } <= planned
    folders = [f"results/tiny/tiny-host/{site}/activations/test" for site in ("shallow", "centred")]
    project.snakemake("--cores", "2", folders[1])  # the second alone is asked for
    found = [json.loads((project.folder / f / "manifest.json").read_text()) for f in folders]
    assert [m["made_from"]["center_writing_weights"] for m in found] == [False, True]
    assert found[0]["shards"] != found[1]["shards"]
    assert project.planned(*folders) == set()
    assert (project.folder / "results/tiny/tiny-host/shallow/tokens/test.parquet").is_file()
    # no rule makes tokens where nobody looks for them
    done = project.snakemake("results/tiny/tiny-host/centred/tokens/test.parquet", "--dry-run", check=False)
    assert done.returncode != 0
    assert "MissingRuleException" in done.stdout + done.stderr
