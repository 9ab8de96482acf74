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


# The house: one room per row, in the order of the data. A room may import from itself and from the rooms above it in
# this list, never from one below.
ROOMS = [
    "rsae.rational",  # minimax fits of gates, by NumPy and SciPy
    "rsae.config",  # what people state
    "rsae.runtime",  # files, checkpoints, fingerprints, devices, products
    "rsae.data",
    "rsae.data.hub",
    "rsae.data.text",
    "rsae.data.activations",
    "rsae.sae.gates.kernels",
    "rsae.sae.codes",  # which codes are active, and products over these alone
    "rsae.sae.gates",
    "rsae.sae.refine",
    "rsae.sae",  # the skeleton that holds a gate and a refinement
    "rsae.sae.loading",  # everybody's files to the skeleton
    "rsae.saelens",  # ours to sae_lens
    "rsae.standalone",
    "rsae.training.start",
    "rsae.training",
    "rsae.training.assets",
    "rsae.arms",
    "rsae.arms.tried",
    "rsae.evaluate",
    "rsae.report",
    "rsae.report.stats",
    "rsae.report.tables",
    "rsae.report.page",
    "rsae.plan",  # all jobs as data
    "rsae.stages",
    "rsae.stages.inputs",
    "rsae.stages.training",
    "rsae.stages.evaluation",
    "rsae.stages.tables",
    "rsae.stages.studies",
    "rsae.stages.assets",
    "rsae.api",
    "rsae.cli",
    "rsae.__main__",
]
AT_THE_ROOT = 14, 5  # packages and modules, at most
LINES = 320  # of a module, at most


def room(module):
    """The number of the room that a module or a name in it belongs to: the longest that it begins with."""
    inside = [name for name in ROOMS if f"{module}.".startswith(f"{name}.")]
    return ROOMS.index(max(inside, key=len)) if inside else None


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules():
    for path in sorted((ROOT / "rsae").rglob("*.py")):
        yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path


def test_imports_point_up_the_list():
    seen = 0
    for module, path in modules():
        here = room(module)
        if module == "rsae":
            continue  # its one function is found by name
        assert here is not None, f"{module} is in no room"
        for other in imported(path):
            assert not other.startswith("snakemake"), module
            if other.startswith("rsae.") and (there := room(other)) is not None:
                assert there <= here, f"{module} imports {other}"
                seen += there < here
    assert seen > 300


def test_the_house_stays_small_enough_to_see():
    inside = [path for path in (ROOT / "rsae").iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()]
    packages = [path.name for path in inside if path.is_dir()]
    assert len(packages) <= AT_THE_ROOT[0], packages
    assert len(inside) - len(packages) <= AT_THE_ROOT[1], inside
    assert {f"rsae.{name}" for name in packages} <= set(ROOMS)
    long = {module: n for module, path in modules() if (n := len(path.read_text().splitlines())) > LINES}
    assert long == {}


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
