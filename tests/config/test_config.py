import hashlib
import re
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
    with pytest.raises(ValueError, match=r"small\.yaml: `smoke_of`: no suite 'mien'; did you mean 'mine'"):
        load_suites(tmp_path)


BASE = """
seeds: [3, 4]
text: docstrings
extras: [probing, anatomy]
finetune: {steps: 200, batch: 512}
hosts:
  first:
    path: assets/embedded/host
    hook: blocks.1.hook_resid_post
    ctx: 128
    bos: true
    tokens: {test: 1, threshold: 2, tuning: 3, calibration: 4, finetune: 5}
    teachers:
      relu:
        path: relu
        kind: relu
        l1_coefficient: 1.0
        lr: 0.1
        family: one
        grids: {teacher_ft: {l1_coefficient: [1.0], lr: [0.1, 0.2]}, rsae: {l1_coefficient: [1.0, 2.0], lr: [0.1]}}
      topk: {like: relu, path: topk, kind: topk}
"""


def written(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def test_what_a_suite_says_is_merged_with_the_one_that_it_is_like(tmp_path):
    like = """
like: base
extras: [anatomy]
finetune: {steps: 7}
hosts:
  second: {like: first, tokens: {test: 9}}
  third:
    like: second
    ctx: 64
    teachers:
      mine: {like: first/relu, lr: 0.3, family: null, grids: {teacher_ft: {lr: [0.5, 0.6]}}}
      again: {like: mine, path: again}
"""
    suites = load_suites(written(tmp_path, alike=like, base=BASE))
    assert list(suites) == ["alike", "base"]
    suite, base = suites["alike"], suites["base"]
    assert (suite.seeds, suite.text, suite.extras) == ([3, 4], "docstrings", ["anatomy"])  # a list replaces
    assert (suite.finetune.steps, suite.finetune.batch) == (7, 512)  # a mapping does not
    assert list(suite.hosts) == ["second", "third"]
    second, third, first = suite.hosts["second"], suite.hosts["third"], base.hosts["first"]
    assert second == first.model_copy(update={"tokens": first.tokens | {"test": 9}})
    assert list(second.tokens) == list(first.tokens)
    assert (third.ctx, third.tokens) == (64, second.tokens)
    assert list(third.teachers) == ["mine", "again"]  # who names teachers names all of them
    mine, relu = third.teachers["mine"], first.teachers["relu"]
    assert (mine.lr, mine.family, relu.family) == (0.3, None, "one")
    assert mine.grids["teacher_ft"].lr == [0.5, 0.6]
    assert mine.grids["teacher_ft"].l1_coefficient == [1.0]
    assert mine.grids["rsae"] == relu.grids["rsae"]
    assert third.teachers["again"] == mine.model_copy(update={"path": Path("again")})
    assert first.teachers["topk"] == relu.model_copy(update={"path": Path("topk"), "kind": "topk"})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("like: bsae\nhosts: {b: {like: first}}", "`like`: no suite 'bsae'; did you mean 'base'?"),
        ("like: [base]\nhosts: {b: {like: first}}", "`like`: no suite \"['base']\"; did you mean 'base'?"),
        ("like: base\nhosts: {b: {like: frist}}", "`hosts.b.like`: no host 'frist'; did you mean 'first'?"),
        ("like: base\nhosts: {b: {like: b}}", "`hosts.b.like`: a circle of hosts: b, b"),
        ("like: base\nhosts: {b: {like: c}, c: {like: b}}", "`hosts.c.like`: a circle of hosts: b, c, b"),
        ("like: mine\nhosts: {b: {like: first}}", "`like`: a circle of suites: mine, mine"),
        ("like: base\ngaet: null\nhosts: {b: {like: first}}", "`gaet`: null, and there is no such key to take away"),
        (
            "like: base\nhosts: {b: {like: first, teachers: {relu: {like: first/relu, famly: null}}}}",
            "`hosts.b.teachers.relu.famly`: null, and there is no such key to take away; did you mean 'family'?",
        ),
        (
            "like: base\nhosts: {b: {like: first, teachers: {relu: {like: first/rely}}}}",
            "`hosts.b.teachers.relu.like`: no teacher 'rely'; did you mean 'relu'?",
        ),
        (
            "like: base\nhosts: {b: {like: first, teachers: {relu: {like: frist/relu}}}}",
            "`hosts.b.teachers.relu.like`: no host 'frist'; did you mean 'first'?",
        ),
        (
            "like: base\nhosts: {b: {like: first, teachers: {x: {like: y}, y: {like: x}}}}",
            "`hosts.b.teachers.y.like`: a circle of teachers: x, y, x",
        ),
        ("like: base\nhosts: {b: {like: first, tokens: {test: 0}}}", "`hosts.b.tokens.test`"),
        ("like: base", "host name 'first' is taken by base"),
    ],
)
def test_a_mistake_in_a_suite_that_is_like_another_is_named(tmp_path, text, says):
    written(tmp_path, base=BASE, mine=text)
    with pytest.raises(ValueError) as caught:
        load_suites(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/mine.yaml: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_circle_through_several_files_is_named(tmp_path):
    written(tmp_path, a="like: b\nhosts: {x: {like: y}}", b="like: a\nhosts: {y: {like: x}}")
    with pytest.raises(ValueError, match=r"b\.yaml: `like`: a circle of suites: a, b, a"):
        load_suites(tmp_path)
    start = BASE.split("  first:")[0]
    written(tmp_path, a=f"{start}  x: {{like: y}}\n", b=f"{start}  y: {{like: x}}\n")
    with pytest.raises(ValueError, match=r"b\.yaml: `hosts\.y\.like`: a circle of hosts: x, y, x"):
        load_suites(tmp_path)


def test_a_mistake_is_told_of_the_file_where_it_stands(tmp_path):
    written(tmp_path, alike="like: base\nhosts: {b: {like: first}}", base=BASE.replace("steps: 200", "steps: 0"))
    with pytest.raises(ValueError, match=r"base\.yaml: `finetune\.steps`"):
        load_suites(tmp_path)


def test_the_example_of_the_configs_page_is_read(tmp_path):
    (text,) = re.findall(r"```yaml\n(# suites/hasty\.yaml.*?)```", (CONFIG / "README.md").read_text(), re.S)
    written(tmp_path, embedded=(CONFIG / "suites/embedded.yaml").read_text(), hasty=text)
    suites = load_suites(tmp_path)
    host, relu = suites["hasty"].hosts["gpt2-docs-hasty"], suites["embedded"].hosts["gpt2-docs"].teachers["relu"]
    assert suites["hasty"].finetune == suites["embedded"].finetune.model_copy(update={"steps": 500})
    assert host.teachers == {"relu": relu.model_copy(update={"lr": 3.0e-4, "tuning": None})}


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
