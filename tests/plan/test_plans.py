"""A half-written suite stops itself, and those that are like it, and no other; a wrong name has a suggestion."""

import pytest

from rsae.config.suites import find_suites
from rsae.plan import Plans, load_plans
from tests.config.test_config import BASE, written

LIKE = "like: base\nhosts: {second: {like: first}}\n"


@pytest.mark.parametrize(
    ("half", "says"),
    [
        ("seed: 1\nhosts:\n  x: {path", r"half\.yaml is not YAML"),
        ("", r"half\.yaml: expected keys and values, found NoneType"),
        ("seed: 1\n", r"half\.yaml: key `text` is missing"),
        (BASE.replace("first:", "mine:").replace("kind: relu", "kind: gelu"), r"half\.yaml: `hosts\.mine\.teachers"),
        (BASE.replace("first:", "mine:") + "      more: {like: rely}\n", r"half\.yaml: .*no teacher 'rely'"),
        ("like: bsae\nhosts: {mine: {like: first}}", r"half\.yaml: `like`: no suite 'bsae'"),
        ("smoke_of: bsae", r"half\.yaml: `smoke_of`: no suite 'bsae'"),
        (BASE, r"half\.yaml: host name 'first' is taken by base"),
        # what only the plan finds out
        (BASE.replace("first:", "mine:").replace("grids:", "arms: [teacher, rsea]\n        grids:"), "half"),
        (BASE.replace("first:", "mine:").replace("text: docstrings", "text: nowhere"), r"config/text/nowhere\.yaml"),
    ],
)
def test_a_half_written_suite_stops_only_itself(tmp_path, capsys, half, says):
    right = load_plans(written(tmp_path, base=BASE, other=LIKE))
    plans = load_plans(written(tmp_path, half=half))
    assert [*plans] == ["base", "other"]
    assert {name: plan.targets() for name, plan in plans.items()} == {n: p.targets() for n, p in right.items()}
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: suite half is left out: ")
    with pytest.raises(ValueError, match=says):
        plans["half"]
    for target in ("half", "results/half/tables/claims.md", "report-half", "fetch_half"):
        assert plans.mistake([target], ["base", "first", "second"]) == str(plans.wrong["half"])
    if "mine:" in half:
        with pytest.raises(ValueError, match=says):
            plans.of("mine")
        assert plans.mistake(["mine"], ["base"]) == str(plans.wrong["mine"])


def test_those_that_are_like_a_half_written_suite_say_its_mistake(tmp_path):
    found = find_suites(
        written(
            tmp_path, alike=LIKE, base=BASE.replace("steps: 200", "steps: 0"), cut="smoke_of: base",
            other=BASE.replace("first:", "mine:"), unlike=LIKE.replace("like: base", "like: other"),
        )
    )  # fmt: skip
    assert [*found.suites] == ["other"]
    assert {name: "base.yaml: `finetune.steps`" in str(error) for name, error in found.wrong.items()} == dict.fromkeys(
        ["alike", "base", "cut", "unlike"], True
    )


def test_a_host_of_a_file_that_cannot_be_read_is_told_of_it(tmp_path):
    found = find_suites(written(tmp_path, alike=LIKE.replace("base", "mid"), base="a: [1", mid=BASE.replace("fir", "")))
    assert [*found.suites] == ["mid"]
    assert "`hosts.second.like`: no host 'first'; base.yaml cannot be read" in str(found.wrong["alike"])


def test_where_no_suite_is_right_the_first_mistake_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"half\.yaml is not YAML"):
        load_plans(written(tmp_path, half="a: [1"))


@pytest.mark.parametrize(
    ("targets", "says"),
    [
        (["qick"], "no target 'qick'; did you mean 'quick'?"),
        (["quick", "gpt2-dosc"], "no target 'gpt2-dosc'; did you mean 'gpt2-docs'?"),
        (["zzz"], "no target 'zzz'; `snakemake --list-target-rules` shows all"),
        (["quick", "gpt2-docs"], None),
        (["results/qick/tables/cells.csv", "README.md", "assets", "."], None),  # paths: Snakemake knows what of them
        ([], None),
    ],
)
def test_an_unknown_target_has_a_suggestion_and_a_path_is_left_alone(targets, says):
    assert Plans({}).mistake(targets, ["quick", "gpt2-docs"]) == says
