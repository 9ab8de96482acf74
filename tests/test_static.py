"""Style, types, workflow lint and the direction of imports."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from rsae.runtime.fingerprint import import_closure

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [
        "ruff check .",
        "ruff format --check .",
        "pyright",
        "snakefmt --check Snakefile workflow",
        "snakemake --lint",
    ],
)
def test_checkers_are_silent(command):
    program, *arguments = command.split()
    done = subprocess.run([BIN / program, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# lower rows may import higher ones and their own, never the reverse
LAYERS = [
    [
        "rsae.runtime.files",
        "rsae.runtime.seals",
        "rsae.runtime.parquet",
        "rsae.cli.errors",
        "rsae.config.types",
        "rsae.arms",
        "rsae.runtime.progress",
        "rsae.runtime.fingerprint",
        "rsae.runtime.checkpoint",
    ],
    [
        "rsae.data.text.docstrings",
        "rsae.runtime.device",
        "rsae.runtime.precision",
        "rsae.runtime.custom_op",
        "rsae.runtime.matmul",
        "rsae.data.activations.fast_layers",
    ],
    [
        "rsae.data.hub.client",
        "rsae.data.hub.lockfile",
        "rsae.data.hub.receipts",
        "rsae.data.hub.sae_lens_registry",
        "rsae.config.sources",
        "rsae.data.text.datasets",
        "rsae.config.suite",
    ],
    ["rsae.runtime.resources"],
    ["rsae.rational"],
    ["rsae.sae.gates", "rsae.sae.refine"],
    ["rsae.sae.model", "rsae.sae.support"],
    [
        "rsae.data.text.tokens",
        "rsae.data.text.tokenizer",
        "rsae.data.activations.shards",
        "rsae.data.activations.batches",
        "rsae.data.activations.host",
        "rsae.sae.loading",
    ],
    ["rsae.upgrade", "rsae.training.assets"],
    ["rsae.arms.*"],  # declared low, in the package itself, and found by name; what they do stands high
    ["rsae.evaluate"],
    ["rsae.report"],
    ["rsae.plan"],
    ["rsae.plan.studies"],
    ["rsae.stages"],
    ["rsae.saelens", "rsae.standalone", "rsae.api.model_card", "rsae.api.push", "rsae.api", "rsae.cli.doctor"],
    ["rsae.cli.stages", "rsae.__main__"],
]


def layer(module):
    if module.startswith("rsae.arms.") and file_of(module).is_file():  # a file, not a name in the package
        return LAYERS.index(["rsae.arms.*"])
    return next((i for i, row in enumerate(LAYERS) if any(f"{module}.".startswith(f"{m}.") for m in row)), None)


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_imports_point_down():
    files = sorted((ROOT / "rsae").rglob("*.py"))
    assert len(files) > 30
    for path in files:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        here = layer(module)
        if module == "rsae":
            continue
        assert here is not None, f"{module} has no layer"
        for other in imported(path):
            if other.startswith("rsae.") and layer(other) is not None:
                assert (layer(other) or 0) <= here, f"{module} imports {other}"
            assert not other.startswith("snakemake"), module


def heavy(module):
    names = {other.split(".")[0] for name in import_closure(module) for other in imported(file_of(name))}
    return names & {"sae_lens", "transformer_lens"}


def file_of(module):
    base = ROOT.joinpath(*module.split("."))
    return base.with_suffix(".py") if base.with_suffix(".py").is_file() else base / "__init__.py"


def test_light_stages_import_neither_sae_lens_nor_transformer_lens():
    for stage in (
        "rsae.stages.inputs.tokens",
        "rsae.stages.training.finetune",
        "rsae.stages.tables.tables",
        "rsae.stages.training.init",
        "rsae.plan",
    ):
        assert not heavy(stage), stage
    assert heavy("rsae.stages.inputs.harvest") == {"transformer_lens"}
    assert heavy("rsae.stages.training.verify_teacher") == {"sae_lens", "transformer_lens"}


def test_what_snakemake_parses_loads_no_torch():
    code = "import sys, rsae, rsae.plan; print(sorted({'torch', 'sae_lens', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
