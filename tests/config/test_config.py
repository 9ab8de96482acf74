import hashlib
from pathlib import Path

import pytest
import yaml

from rsae.config.load import load
from rsae.config.suite import Suite
from rsae.config.suites import load_suites
from rsae.plan import CONFIG, HOST_FILES, Plan, derive_seed, load_plans

GRID = {"l1_coefficient": [1.0], "lr": [0.1, 0.2]}
QUICK = (CONFIG / "suites/quick.yaml").read_text()


def suite(tmp_path, change):
    raw = yaml.safe_load(QUICK)
    change(raw)
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


def host(raw):
    return raw["hosts"]["gpt2-docs-quick"]


def teacher(raw):
    return host(raw)["teachers"]["relu"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: r.update(sedes=[1]), "unknown key `sedes`; did you mean 'seeds'"),
        (lambda r: r.pop("finetune"), "key `finetune` is missing"),
        (lambda r: r["finetune"].update(steps=0), "`finetune.steps`"),
        (lambda r: host(r).update(dtype="float8"), "float8"),
        (lambda r: host(r)["tokens"].pop("test"), "exactly the splits"),
        (lambda r: host(r).update(max_rows_per_document={"tset": 1}), "did you mean 'test'"),
        (lambda r: teacher(r).update(kind="gated"), "gated"),
        (lambda r: teacher(r).update(arms=["rsae_init"]), "must contain 'teacher'"),
        (lambda r: teacher(r).update(grids={"rsea": GRID}), "`grids` names 'rsea'"),
        (lambda r: teacher(r).update(grids={"rsae": GRID}), "add 'teacher_ft' to it"),
        (lambda r: teacher(r).update(grids={"rsae": GRID, "teacher_ft": GRID | {"lr": [1]}}), "equally many settings"),
        (lambda r: r["hosts"].update({"../up": host(r)}), "../up"),
        (lambda r: host(r).pop("path"), "exactly one of path, repo; found none"),
        (lambda r: teacher(r).update(repo="a/b"), "exactly one of path, repo, release; found path, repo"),
        (lambda r: (teacher(r).pop("path"), teacher(r).update(repo="a/b")), "needs a `layout`: one of sae_lens"),
        (lambda r: (teacher(r).pop("path"), teacher(r).update(release="a")), "`release` and `sae_id` go together"),
        (lambda r: teacher(r).update(site="shrot"), "unknown site 'shrot'"),
        (lambda r: host(r).pop("hook"), "`hook`, `ctx` and `bos` go together"),
        (lambda r: teacher(r).update(published={"l0": {"value": 3}}), "published.l0.within"),
        (lambda r: r.update(text={"source": "files", "pth": "x"}), "unknown key `text.files.pth`; did you mean 'path'"),
        (lambda r: r.update(text={"source": "web"}), "`text`"),
    ],
)
def test_mistakes_are_named_with_file_and_key(tmp_path, change, says):
    path = suite(tmp_path, change)
    with pytest.raises(ValueError) as caught:
        load(path, Suite)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: teacher(r).update(arms=["teacher", "rsea"]), "did you mean 'rsae'"),
        (lambda r: teacher(r).update(arms=["teacher", "rsae"]), "starts from 'rsae_init'"),
        (lambda r: teacher(r).update(variants={"rsae": {"arm": "rsae"}}), "the variant 'rsae' has the name of an arm"),
        (lambda r: teacher(r).update(arms=["teacher", "x"], variants={"x": {"arm": "rsea"}}), "did you mean 'rsae'"),
    ],
)
def test_mistakes_in_arms_are_named_with_file_and_teacher(tmp_path, change, says):
    content = load(suite(tmp_path, change), Suite)
    with pytest.raises(ValueError) as caught:
        Plan("mine", content)
    assert says in str(caught.value)
    assert "config/suites/mine.yaml: `hosts.gpt2-docs-quick.teachers.relu`: " in str(caught.value)


def test_what_is_not_yaml_or_not_there_is_named(tmp_path):
    (tmp_path / "a.yaml").write_text("a: [1")
    with pytest.raises(ValueError, match="not YAML"):
        load(tmp_path / "a.yaml", Suite)
    with pytest.raises(ValueError, match="no such"):
        load(tmp_path / "b.yaml", Suite)
    with pytest.raises(ValueError, match="no suite"):
        load_suites(tmp_path / "empty")


def test_a_key_that_stands_twice_is_named(tmp_path):
    (tmp_path / "a.yaml").write_text(QUICK.replace("seed: 1\n", "seed: 1\nseed: 2\n", 1))
    with pytest.raises(ValueError, match=r"a\.yaml .*key `seed` stands here twice"):
        load(tmp_path / "a.yaml", Suite)


def test_a_merged_mapping_may_be_overruled(tmp_path):
    start = QUICK.index("      relu:\n")
    first = QUICK[start:].replace("      relu:\n", "      relu: &relu\n", 1)
    path = tmp_path / "a.yaml"
    path.write_text(QUICK[:start] + first.rstrip() + "\n      again:\n        <<: *relu\n        l0: 12\n")
    teachers = next(iter(load(path, Suite).hosts.values())).teachers
    assert teachers["again"] == teachers["relu"].model_copy(update={"l0": 12})
    nested = (
        path.read_text() + "      third: &third\n        <<: *relu\n        l0: 9\n      fourth:\n        <<: *third\n"
    )
    (tmp_path / "b.yaml").write_text(nested)
    teachers = next(iter(load(tmp_path / "b.yaml", Suite).hosts.values())).teachers
    assert teachers["fourth"] == teachers["third"] == teachers["relu"].model_copy(update={"l0": 9})
    path.write_text(path.read_text() + "        l0: 13\n")
    with pytest.raises(ValueError, match="key `l0` stands here twice"):
        load(path, Suite)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("check", lambda r: r["hosts"].update(check=r["hosts"].pop("gpt2-docs-quick"))),
        ("tokens", lambda r: host(r)["teachers"].update(tokens=teacher(r))),
    ],
)
def test_names_that_mean_something_else_are_refused(tmp_path, name, change):
    suite(tmp_path, change)
    with pytest.raises(ValueError, match=rf"mine\.yaml: a (host|teacher) cannot be called '{name}'"):
        load_suites(tmp_path)


def test_host_names_are_unique_across_suites(tmp_path):
    (tmp_path / "one.yaml").write_text(QUICK)
    (tmp_path / "two.yaml").write_text(QUICK)
    with pytest.raises(ValueError, match=r"two\.yaml: host name 'gpt2-docs-quick' is taken by one"):
        load_suites(tmp_path)


def test_adding_a_teacher_changes_no_other_cells_settings(tmp_path):
    one = Plan("mine", load(suite(tmp_path, lambda r: None), Suite))
    two = Plan("mine", load(suite(tmp_path, lambda r: host(r)["teachers"].update(more=teacher(r))), Suite))
    h = "gpt2-docs-quick"
    relu, topk = (one.training_of(h, t, "rsae").settings for t in ("relu", "topk"))
    assert relu == two.training_of(h, "relu", "rsae").settings
    assert relu["order_seeds"] != topk["order_seeds"]


def test_arms_of_one_seed_see_the_same_batches(tmp_path):
    plan = Plan("mine", load(suite(tmp_path, lambda r: None), Suite))
    control, student = (plan.training_of("gpt2-docs-quick", "relu", a).settings for a in ("teacher_ft", "rsae"))
    differ = {k for k in control if control[k] != student[k]}
    assert differ == {"arm", "definition"}


def test_arms_without_trials_of_their_own_follow_the_control(tmp_path):
    plan = Plan("mine", load(suite(tmp_path, lambda r: teacher(r).update(grids={"teacher_ft": GRID})), Suite))
    h, folder = "gpt2-docs-quick", "results/mine/gpt2-docs-quick"
    for arm in ("teacher_ft", "rsae"):
        job = plan.training_of(h, "relu", arm)
        assert str(job.arguments["tuning"]) == f"{folder}/relu/teacher_ft/tuning.json"
        assert job.arguments["tuning"] in job.inputs
        assert job.settings["takes"] == (["l1_coefficient", "lr"] if arm == "teacher_ft" else ["lr"])
    assert plan.training_of(h, "topk", "rsae").arguments["tuning"] is None
    trial = plan.tune(h, "relu", "teacher_ft")
    assert trial.settings["grid"] == GRID
    assert trial.arguments["out"] not in trial.inputs


def test_a_variant_is_an_arm_with_settings_of_its_own(tmp_path):
    def change(r):
        teacher(r)["arms"] += ["sparse", "sparser"]
        own = {"sparse": {"l1_coefficient": 3.0}, "sparser": {"lr": 0.1}}
        teacher(r)["variants"] = {name: {"arm": "rsae", **keys} for name, keys in own.items()}

    plan = Plan("mine", load(suite(tmp_path, change), Suite))
    rsae, sparse, sparser = (
        plan.training_of("gpt2-docs-quick", "relu", a).settings for a in ("rsae", "sparse", "sparser")
    )
    assert {k: (rsae[k], sparse[k]) for k in rsae if rsae[k] != sparse[k]} == {
        "arm": ("rsae", "sparse"), "l1_coefficient": (1.42, 3.0),
    }  # fmt: skip
    assert {k: sparser[k] for k in rsae if rsae[k] != sparser[k]} == {"arm": "sparser", "lr": 0.1}


def test_seeds_are_fixed_numbers():
    # first four bytes of sha256('["1","a"]')
    assert derive_seed(1, "a") == int(hashlib.sha256(b'["1","a"]').hexdigest()[:8], 16)


def test_a_host_may_be_read_at_several_sites(tmp_path):
    def change(raw):
        site = {k: host(raw).pop(k) for k in ("hook", "ctx", "bos")}
        host(raw)["sites"] = {"one": site, "two": site | {"ctx": 64, "center_writing_weights": True}}
        for name, entry in host(raw)["teachers"].items():
            entry["site"] = "two" if name == "topk" else "one"

    plan = Plan("mine", load(suite(tmp_path, change), Suite))
    h = "gpt2-docs-quick"
    assert plan.addresses() == {f"{h}/one": h, f"{h}/two": h}
    assert plan.harvest(f"{h}/two", "test").arguments["out"] == [Path(f"results/mine/{h}/two/activations/test")]
    assert plan.tokens(f"{h}/two", "test").settings["ctx"] == 64
    assert plan.harvest(f"{h}/two", "test").settings["sites"][0]["center_writing_weights"]
    # each teacher reads its own site, everywhere
    for job in (plan.import_teacher(h, "topk"), plan.verify_teacher(h, "topk"), plan.init(h, "topk", "rsae_init"),
                plan.finetune(h, "topk", "rsae"), plan.evaluate_reconstruction(h, "topk"),
                plan.evaluate_downstream(h, "topk")):  # fmt: skip
        read = [str(p) for p in job.inputs if "activations" in str(p) or "tokens" in str(p)]
        assert read
        assert all(f"{h}/two/" in p for p in read)


def test_sites_with_the_same_rows_share_tokens_and_one_run_of_the_host(tmp_path):
    def change(raw):
        site = {k: host(raw).pop(k) for k in ("hook", "ctx", "bos")}
        deep = site | {"hook": "blocks.3.hook_resid_post"}
        host(raw)["sites"] = {
            "a": site | {"ctx": 64},
            "b": site,
            "c": deep,
            "d": site | {"hook": "blocks.0.hook_resid_pre"},
        }
        for name, entry in host(raw)["teachers"].items():
            entry["site"] = {"relu": "a", "jumprelu": "b", "topk": "c"}[name]

    plan = Plan("mine", load(suite(tmp_path, change), Suite))
    h = "gpt2-docs-quick"
    assert plan.readings == {f"{h}/a": [f"{h}/a"], f"{h}/b": [f"{h}/b", f"{h}/c"]}  # nobody reads d
    assert [plan.reading(f"{h}/{site}") for site in "abcd"] == [f"{h}/{site}" for site in "abbb"]
    assert plan.harvest(f"{h}/b", "test") == plan.harvest(f"{h}/c", "test")
    job = plan.harvest(f"{h}/c", "test")
    assert [s["hook"] for s in job.settings["sites"]] == ["blocks.1.hook_resid_post", "blocks.3.hook_resid_post"]
    assert job.arguments["out"] == [Path(f"results/mine/{h}/{s}/activations/test") for s in "bc"]
    assert job.arguments["token_file"] == plan.token_file(f"{h}/b", "test") == plan.token_file(f"{h}/c", "test")
    assert plan.token_file(f"{h}/a", "test") != plan.token_file(f"{h}/b", "test")
    assert plan.token_file(f"{h}/c", "test") in plan.evaluate_downstream(h, "topk").inputs
    assert plan.read(h, "topk", "finetune") == Path(f"results/mine/{h}/c/activations/finetune")
    harvests = [p for p in plan.benchmarks() if "harvest" in p.parts]
    assert {p.parent.name for p in harvests} == {"a", "b"}
    assert plan.harvest(f"{h}/d", "test").arguments["out"] == [Path(f"results/mine/{h}/d/activations/test")]  # by hand
    # whoever is switched off, nobody's files move
    raw = plan.suite.model_dump(exclude_unset=True)
    host(raw)["teachers"]["jumprelu"]["enabled"] = False
    fewer = Plan("mine", Suite.model_validate(raw))
    assert fewer.readings == {f"{h}/a": [f"{h}/a"], f"{h}/b": [f"{h}/c"]}
    for split in ("test", "finetune"):
        assert fewer.token_file(f"{h}/c", split) == plan.token_file(f"{h}/c", split)
        assert fewer.read(h, "topk", split) == plan.read(h, "topk", split)
    assert {p.parent.name for p in fewer.benchmarks() if "harvest" in p.parts} == {"a", "c"}
    assert {p.parent.name for p in fewer.benchmarks() if "tokens" in p.parts} == {"a", "b"}


def test_without_reuse_no_token_is_seen_twice(tmp_path):
    raw = load(suite(tmp_path, lambda r: r["finetune"].update(reuse=False, steps=7, batch=100)), Suite)
    assert Plan("mine", raw).tokens("gpt2-docs-quick", "finetune").settings["max_tok"] == 700
    assert Plan("mine", raw).tokens("gpt2-docs-quick", "test").settings["max_tok"] == 12000


def test_a_smoke_suite_is_another_one_cut_down(tmp_path):
    suite(tmp_path, lambda r: r.update(seeds=[3, 4]))
    (tmp_path / "small.yaml").write_text("# a word\nsmoke_of: mine\n")
    suites = load_suites(tmp_path)
    small = suites["small"]
    assert (small.seeds, small.finetune.steps, small.smoke_of) == ([3], 3, "mine")
    assert list(small.hosts) == ["gpt2-docs-quick-smoke"]
    assert set(small.tokens("gpt2-docs-quick-smoke").values()) == {2000}
    assert suites["mine"].hosts["gpt2-docs-quick"].teachers == small.hosts["gpt2-docs-quick-smoke"].teachers
    (tmp_path / "small.yaml").write_text("smoke_of: mien\n")
    with pytest.raises(ValueError, match=r"small\.yaml: no suite 'mien'; did you mean 'mine'"):
        load_suites(tmp_path)


def test_the_embedded_suites_paths_are_where_they_were():
    plan = load_plans()["embedded"]
    assert str(plan.activations("gpt2-docs", "test")) == "results/embedded/gpt2-docs/activations/test"
    assert str(plan.read("gpt2-docs", "relu", "test")) == "results/embedded/gpt2-docs/activations/test"
    assert str(plan.sae("gpt2-docs", "relu", "rsae", 2)) == "results/embedded/gpt2-docs/relu/rsae/seed-2/sae"
    assert str(plan.text_folder(None)) == "results/embedded/text"
    assert not plan.from_hub
    assert {p.name for p in plan.host_place("gpt2-docs").inputs} == set(HOST_FILES)


def test_a_sparsity_of_its_own_is_another_stage_and_no_other_teacher_notices(tmp_path):
    raw = yaml.safe_load(QUICK)
    before = Plan("quick", Suite.model_validate(raw)).import_teacher("gpt2-docs-quick", "relu")
    teacher(raw).update(l0=13, front="relu")
    plan = Plan("quick", Suite.model_validate(raw))
    after = plan.import_teacher("gpt2-docs-quick", "relu")
    assert (before.stage, after.stage) == ("training.import_teacher", "training.change_sparsity")
    assert after.settings == before.settings | {"l0": 13}
    assert plan.grouped("front") == {"gpt2-docs-quick/relu": ["relu"]}
    assert plan.root / "tables/pareto.md" in plan.targets()


def test_only_a_suite_that_asks_for_probes_has_them():
    raw = yaml.safe_load(QUICK)
    plain = Plan("quick", Suite.model_validate(raw))
    probed = Plan("quick", Suite.model_validate(raw | {"extras": ["probing"]}))
    files = [plan.sums("gpt2-docs-quick", "relu", "probe") for plan in (plain, probed)]
    assert files[0] not in plain.tabulate().inputs
    assert files[1] in probed.tabulate().inputs
    assert [p.name for p in probed.targets() if p not in plain.targets()] == ["probing.csv", "probing.md"]


def test_nothing_that_makes_or_chooses_an_sae_reads_test_documents():
    seen = 0
    for plan in load_plans().values():
        for h, t in plan.pairs():
            address = plan.address(h, t)
            test = {plan.token_file(address, "test"), plan.activations(address, "test")}
            test |= {folder / "test.jsonl" for folder in plan.texts().values()}
            arms = {arm: plan.arm(h, t, arm) for arm, _ in plan.cells(h, t)}
            jobs = [plan.import_teacher(h, t), plan.verify_teacher(h, t)]
            jobs += [plan.init(h, t, name) for name, arm in arms.items() if arm.build is not None]
            jobs += [plan.finetune(h, t, name) for name, arm in arms.items() if arm.tuned]
            jobs += [plan.tune(h, t, name) for name in plan.teacher(h, t).grids]
            jobs += [plan.tune(h, t)] if plan.teacher(h, t).tuning else []
            for job in jobs:
                given = {*job.inputs, *(v for v in job.arguments.values() if isinstance(v, Path))}
                assert given.isdisjoint(test), (plan.name, h, t, job.stage)
                seen += 1
            # they are named as these jobs would see them
            assert test & {*plan.evaluate_reconstruction(h, t).inputs, *plan.evaluate_downstream(h, t).inputs}
    assert seen > 300
