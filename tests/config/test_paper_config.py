"""The eight pairs, as configuration: what the registry, the layouts and the reported numbers say of them."""

from typing import Any

import pytest

from rsae.config.load import load
from rsae.data.hub.lockfile import Lock
from rsae.data.hub.sae_lens_registry import look_up
from rsae.plan import CONFIG, Plan, load_plans
from rsae.report.tables.paper_numbers import Reported

PLAN = load_plans()["paper"]


def test_there_are_eight_pairs_and_a_ninth_that_is_labelled_and_off():
    assert sorted(PLAN.pairs()) == sorted(
        [("gpt2-small", t) for t in ("relu", "topk")]
        + [(h, t) for h in ("pythia-160m", "gemma-2-2b") for t in ("relu", "jumprelu", "topk")]
    )
    ninth = [t for t, entry in PLAN.suite.hosts["gpt2-small"].teachers.items() if not entry.enabled]
    assert ninth == ["jumprelu-self-trained"]


@pytest.mark.parametrize(("host", "teacher"), PLAN.pairs())
def test_releases_are_what_sae_lens_itself_says(host, teacher):
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    entry: Any = PLAN.suite.hosts[host].teachers[teacher]
    source: Any = PLAN.teacher_source(host, teacher)
    if entry.release is None:
        assert source["repo"] == "adamkarvonen/saebench_pythia-160m-deduped_width-2pow14_date-0108"
        return
    known = get_pretrained_saes_directory()[entry.release]
    assert (source["repo"], source["folder"]) == (known.repo_id, known.saes_map[entry.sae_id])
    converter = {None: "sae_lens", "gemma_2": "gemma_scope", "dictionary_learning_1": "dictionary_learning"}
    assert source["layout"] == converter[known.conversion_func]
    # the registry's coarse l0 and explained variance, where it has them (0 and 1 stand for nothing)
    for figure, stated, nothing in (
        (entry.published.l0, known.expected_l0[entry.sae_id], 0),
        (entry.published.explained_variance, known.expected_var_explained[entry.sae_id], 1),
    ):
        if stated != nothing:
            assert figure is not None
            assert figure.value == stated
    overrides: Any = known.config_overrides or {}
    centred = overrides.get("model_from_pretrained_kwargs", {}).get("center_writing_weights", False)
    assert PLAN.site(PLAN.address(host, teacher)).center_writing_weights == centred


def test_a_release_or_an_id_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match="no release 'gpt3-small'; for a repository give"):
        look_up("gpt3-small", "x")
    with pytest.raises(ValueError, match=r"no SAE 'blocks\.99'; it has blocks\.0"):
        look_up("gpt2-small-res-jb", "blocks.99")


def test_the_step_count_and_the_reported_hosts_are_the_sources():
    assert PLAN.suite.finetune.steps == 22000
    known = load(CONFIG / "reported.yaml", Reported)
    assert {(c.host, c.teacher) for c in known.cells} <= set(PLAN.pairs())


def test_revisions_say_main_until_somebody_fetched():
    plan = Plan("paper", PLAN.suite)
    plan.lock = Lock({})
    sources: list[Any] = [plan.teacher_source(h, t) for h, t in plan.pairs()]
    assert {(s["revision"], s["pinned"]) for s in sources} == {("main", None)}


def test_sizes_without_reuse_are_those_of_the_arithmetic():
    from rsae.stages.inputs.preflight import _shape

    settings = PLAN.preflight().settings
    found = {}
    for pair in ("gpt2-small/relu", "gemma-2-2b/topk"):
        entry = settings["pairs"][pair]
        shape: Any = _shape(settings["hosts"][entry["host"]], entry, 22000, 4096, 24)
        found[pair] = shape.without_reuse
        assert shape.tokens["finetune"] == 4_000_000
        assert shape.device < 24e9
    # 22,000 steps of 4,096 tokens in 2 bytes: 90.1M tokens at d 768 and d 2304
    assert found["gpt2-small/relu"] == 22000 * 4096 * 768 * 2 == pytest.approx(138.4e9, rel=1e-3)
    assert found["gemma-2-2b/topk"] == 22000 * 4096 * 2304 * 2 == pytest.approx(415.2e9, rel=1e-3)
