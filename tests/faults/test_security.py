"""Nothing from a file is run, nothing is written outside of the results, no secret is written down."""

import ast
import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rsae.config import load as yaml_reader
from rsae.config.load import load
from rsae.config.suite import Suite
from rsae.config.suites import load_suites
from rsae.data.activations.shards import Shards
from rsae.plan import Plan, load_plans
from tests.faults import pipeline

ROOT = Path(__file__).resolve().parents[2]


def calls(path):
    """(dotted name, keywords) of every call in a source file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield (
                ast.unparse(node.func),
                {k.arg: ast.unparse(k.value) for k in node.keywords},
                [*map(ast.unparse, node.args)],
            )


def unsafe(path):
    for name, keywords, arguments in calls(path):
        last = name.rpartition(".")[2]
        if name in ("torch.load", "load") and "torch" in name and keywords.get("weights_only") != "True":
            yield f"{name} without weights_only=True"
        if name.split(".")[0] in ("pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"):
            yield name
        if name == "np.load" and keywords.get("allow_pickle") != "False":
            yield "np.load that may unpickle"
        if keywords.get("trust_remote_code", "False") != "False":
            yield f"{name} trusts remote code"
        if last == "from_pretrained" and name.startswith("Auto") and "trust_remote_code" not in keywords:
            yield f"{name} asks a person whether to trust remote code"  # which a person may answer with yes
        if name == "yaml.load" and not {"_UniqueKeys", "yaml.SafeLoader"} & {*arguments, *keywords.values()}:
            yield "yaml.load without a safe loader"
        if name in ("eval", "exec", "os.system", "yaml.unsafe_load", "yaml.full_load"):
            yield name
        if keywords.get("shell") == "True":
            yield f"{name} through a shell"


def test_nothing_that_is_read_is_run():
    sources = [*sorted((ROOT / "rsae").rglob("*.py"))]
    assert len(sources) > 60
    assert [f"{path}: {what}" for path in sources for what in unsafe(path)] == []
    assert issubclass(yaml_reader._UniqueKeys, yaml.SafeLoader)


def test_the_search_for_what_is_unsafe_finds_it(tmp_path):
    lines = [
        "torch.load(p)", "torch.load(p, weights_only=False)", "pickle.load(f)", "np.load(p)",
        "yaml.load(t, yaml.Loader)", "AutoModel.from_pretrained(p)", "f(trust_remote_code=True)", "eval(x)",
        "subprocess.run(x, shell=True)",
    ]  # fmt: skip
    for line in lines:
        (tmp_path / "a.py").write_text(line)
        assert list(unsafe(tmp_path / "a.py")), line


def outputs(plan):
    """Every path that a suite's jobs write."""
    found: list[Path] = []
    for h, t in plan.pairs():
        site = plan.address(h, t)
        jobs = [plan.text(), plan.tokens(site, "test"), plan.harvest(site, "test"), plan.import_teacher(h, t)]
        jobs += [plan.evaluate_reconstruction(h, t), plan.evaluate_downstream(h, t), plan.tabulate(), plan.run_card()]
        for arm, _ in plan.cells(h, t):
            spec = plan.arm(h, t, arm)
            jobs += [plan.finetune(h, t, arm)] if spec.tuned else [plan.init(h, t, arm)] if arm != "teacher" else []
        for job in jobs:
            for name in ("out", "outs", "reports", "checkpoints"):
                value = job.arguments.get(name, [])
                # the run card reads its reports
                if job.stage != "tables.run_card" or name == "out":
                    found += (
                        value.values() if isinstance(value, dict) else [value] if isinstance(value, Path) else value
                    )
    return found


def inside(path, root=Path("results")):
    return path.resolve().is_relative_to(root.resolve()) and path.resolve() != root.resolve()


def test_the_suites_that_are_shipped_write_below_results():
    for plan in load_plans().values():
        found = outputs(plan)
        assert len(found) > 10
        assert all(map(inside, found))


BASE = yaml.safe_load((ROOT / "config/suites/quick.yaml").read_text())
names = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["..", "../..", "/etc", "a/../../b", ".", "", "a\0b", "-rf", "~", "C:\\x", "a" * 200]),
)


@settings(max_examples=100, deadline=None)
@given(where=st.sampled_from(["host", "teacher", "variant", "site", "text", "split"]), name=names)
def test_names_from_a_config_stay_below_results_or_are_refused(where, name):
    raw: Any = copy.deepcopy(BASE)
    hosts = raw["hosts"]
    host = hosts["gpt2-docs-quick"]
    match where:
        case "host":
            hosts[name] = hosts.pop("gpt2-docs-quick")
        case "teacher":
            host["teachers"] = {name: host["teachers"]["relu"]}
        case "variant":
            host["teachers"]["relu"]["variants"] = {name: {"arm": "rsae"}}
            host["teachers"]["relu"]["arms"].append(name)
        case "site":
            host["sites"] = {name: {key: host.pop(key) for key in ("hook", "ctx", "bos")}}
            for teacher in host["teachers"].values():
                teacher["site"] = name
        case "text":
            raw["text"] = name
        case _:
            host["tokens"][name] = 5
    try:
        suite = Suite.model_validate(raw)
    except ValueError:
        return
    for path in outputs(Plan("mine", suite)) if where != "text" else []:
        assert inside(path), path
    if where == "text":
        assert inside(Path("config/text") / f"{suite.text}.yaml", Path("config/text"))


@pytest.mark.parametrize("name", ["..", ".", "a b", "-x", "ü", "a" * 120])
def test_a_suite_file_whose_name_is_no_plain_name_is_refused(tmp_path, name):
    (tmp_path / f"{name}.yaml").write_text(pipeline.SUITE)
    with pytest.raises(ValueError, match="is no plain name; rename it"):
        load_suites(tmp_path)


def test_a_manifest_cannot_point_elsewhere_even_if_it_is_sealed(project):
    import json

    from rsae.runtime.files import sealed, unsealed

    folder = project / f"results/tiny/{pipeline.HOST}/activations/test"
    for name in ("../calibration/shard-00000.parquet", "/etc/passwd", "..", ""):
        manifest = unsealed(json.loads((folder / "manifest.json").read_text()))
        manifest["shards"][0]["file"] = name
        (folder / "manifest.json").write_text(json.dumps(sealed(manifest)))
        with pytest.raises(ValueError, match=r"(outside of the folder|missing); delete the folder"):
            Shards(folder).load()


def test_yaml_that_unfolds_to_gigabytes_is_refused_in_a_short_sentence(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    (tmp_path / "s.yaml").write_text("\n".join([*lines, "seeds: *a9"]))
    with pytest.raises(ValueError, match="seeds") as caught:
        load(tmp_path / "s.yaml", Suite)
    assert len(str(caught.value)) < 10_000


def test_a_token_of_the_environment_is_in_no_log_and_no_result(unbroken):
    secret = pipeline.ENVIRONMENT["HF_TOKEN"].encode()
    files = [p for p in unbroken.folder.rglob("*") if p.is_file()]
    assert len(files) > 20
    assert [p for p in files if secret in p.read_bytes()] == []
