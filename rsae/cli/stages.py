"""``python -m rsae STAGE``: every rule of the workflow is one of these commands."""

import importlib
import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.models import CommandInfo

from rsae import mistakes
from rsae.config.load import load
from rsae.config.types import Kind
from rsae.plan import (
    CONFIG,
    RESULTS_VARIABLE,
    Job,
    Plan,
    load_assets_plan,
    load_families_plan,
    load_more_teachers_plan,
    load_plans,
    studies,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Rational sparse autoencoders: fit a gate, upgrade a teacher, judge both honestly. "
    "Every stage reads files and writes files; which ones follows from config/suites/*.yaml.",
    epilog="Start with `doctor`, then `upgrade --help` for an SAE of your own, or `snakemake quick` for the whole "
    "comparison in a few minutes. docs/tutorial.md takes ten.",
)

Suite = Annotated[str, typer.Option(help="Name of a file in config/suites, without .yaml.")]
Host = Annotated[str, typer.Option(help="Host, as named in a suite (names are unique across suites).")]
Teacher = Annotated[str, typer.Option(help="Teacher, as named under the host.")]
Arm = Annotated[str, typer.Option(help="Arm, as listed under the teacher.")]
OneArm = Annotated[
    str | None, typer.Option("--arm", help="Arm; if left out all tuned ones, which read the activations once.")
]
Seed = Annotated[int | None, typer.Option(help="One seed of the suite; all of them if left out.")]
TextName = Annotated[
    str | None, typer.Option(help="A file in config/text, without .yaml; the suite's text if left out.")
]
OneTeacher = Annotated[str | None, typer.Option(help="Teacher, as named under the host; the host itself if left out.")]
Site = Annotated[str, typer.Option("--host", help="HOST, or HOST/SITE for a site that has a name.")]
Split = Annotated[str, typer.Option(help="test, threshold, calibration or finetune.")]
Labelled = Annotated[str, typer.Option("--name", help="Labelled text, as listed in the suite's `probed_texts`.")]
AnyLabelled = Annotated[str | None, typer.Option("--name", help="Labelled text; the suite's own text if left out.")]
Results = Annotated[Path, typer.Option(help="Folder of all results.", envvar=RESULTS_VARIABLE)]
By = Annotated[Literal["token", "feature"], typer.Option(help="What the processes of a torchrun divide.")]
RESULTS = Path("results")


def _plan(suite: str, results: Path) -> Plan:
    plans = load_plans(results=results)
    if suite not in plans:
        raise ValueError(f"no suite {suite!r} in {CONFIG / 'suites'}; there are {', '.join(plans)}")
    return plans[suite]


def _plan_of(address: str, results: Path) -> Plan:
    plans, host = load_plans(results=results), address.partition("/")[0]
    for plan in plans.values():
        if host in plan.suite.hosts:
            return plan
    known = ", ".join(h for plan in plans.values() for h in plan.suite.hosts)
    raise ValueError(f"no host {host!r} in {CONFIG / 'suites'}; there are {known}")


def _require(paths: list[Path]) -> None:
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise ValueError(f"{missing[0]} does not exist; make it with `snakemake {missing[0]}`")


def _do(job: Job) -> Any:
    _require(job.inputs)
    return importlib.import_module(f"rsae.stages.{job.stage}").run(**job.arguments, **job.settings)


@app.command()
def text(suite: Suite, name: TextName = None, results: Results = RESULTS) -> None:
    """Text to documents, kept apart between splits."""
    _do(_plan(suite, results).text(name))


@app.command()
def preflight(suite: Suite, results: Results = RESULTS) -> None:
    """Tokens, disk, memory and time per pair; what is missing and what will not fit."""
    _do(_plan(suite, results).preflight())


@app.command()
def fetch(host: Host, teacher: OneTeacher = None, results: Results = RESULTS) -> None:
    """Fetch a host, or one of its teachers, from its hub into the cache, verified."""
    plan = _plan_of(host, results)
    _do(plan.fetch_host(host) if teacher is None else plan.fetch_teacher(host, teacher))


@app.command("fetch-all")
def fetch_all(suite: Suite, results: Results = RESULTS) -> None:
    """Fetch all that a suite needs and pin it: writes config/SUITE.lock.yaml."""
    _do(_plan(suite, results).fetch_all())


@app.command()
def tokens(host: Site, split: Split, results: Results = RESULTS) -> None:
    """Documents of a split to token rows of the host."""
    _do(_plan_of(host, results).tokens(host, split))


@app.command()
def harvest(host: Site, split: Split, results: Results = RESULTS) -> None:
    """Residual activations of a split to Parquet shards, of all sites that read the same rows."""
    _do(_plan_of(host, results).harvest(host, split))


@app.command("fit-gate")
def fit_gate(
    target: Annotated[str, typer.Option(help="relu, jumprelu, topk or sign.")],
    degree: Annotated[tuple[int, int], typer.Option(help="Degrees of numerator and denominator.")],
    theta: Annotated[float | None, typer.Option(help="Where the jump is; for topk the supplied threshold.")] = None,
    delta: Annotated[float | None, typer.Option(help="Half width of the gap around it.")] = None,
    grid: Annotated[int | None, typer.Option(help="Points of a uniform grid; the continuum if not given.")] = None,
    json_: Annotated[str, typer.Option("--json", help="File for the record; - prints it.")] = "-",
) -> None:
    """Minimax fit of a gate by a rational function."""
    from rsae.runtime.files import sealed, write_json
    from rsae.stages.training.fit_gate import run

    record = run(target=target, degree=degree, theta=theta, delta=delta, grid=grid)
    if json_ == "-":
        print(json.dumps(record, indent=2))
    else:
        write_json(json_, sealed(record))


@app.command()
def gates(results: Results = RESULTS) -> None:
    """The atlas of gate fits: degrees, reported against measured, figures."""
    _do(studies.gates(results))


@app.command()
def theory(results: Results = RESULTS) -> None:
    """The paper's theorems against measured sizes and errors."""
    _do(studies.theory(results))


@app.command("import-teacher")
def import_teacher(host: Host, teacher: Teacher, results: Results = RESULTS) -> None:
    """Load a teacher of any known layout and write it in the common form."""
    _do(_plan_of(host, results).import_teacher(host, teacher))


@app.command("verify-teacher")
def verify_teacher(host: Host, teacher: Teacher, results: Results = RESULTS) -> None:
    """Hold a teacher against its published figures and against sae_lens's own run of its files."""
    _do(_plan_of(host, results).verify_teacher(host, teacher))


@app.command()
def init(host: Host, teacher: Teacher, arm: Arm, results: Results = RESULTS) -> None:
    """Copy a teacher, replace its gate by the fit, calibrate it on real pre-activations."""
    _do(_plan_of(host, results).init(host, teacher, arm))


@app.command()
def finetune(
    host: Host, teacher: Teacher, arm: OneArm = None, seed: Seed = None, by: By = "token", results: Results = RESULTS
) -> None:
    """Fine-tune one arm or all of a pair, every seed of the suite; on several processes under torchrun."""
    plan = _plan_of(host, results)
    if arm is None:
        if seed is not None:
            raise ValueError("--seed picks one of an arm's seeds; say which --arm")
        job = plan.finetune_together(host, teacher)
    else:
        job = plan.finetune(host, teacher, arm, None if seed is None else [seed])
    _do(job._replace(arguments=job.arguments | {"by": by}))


@app.command()
def tune(host: Host, teacher: Teacher, results: Results = RESULTS) -> None:
    """Try the teacher's grid of λ and learning rate on tuning documents; the config is not changed."""
    _do(_plan_of(host, results).tune(host, teacher))


@app.command("tune-arm")
def tune_arm(host: Host, teacher: Teacher, arm: Arm, results: Results = RESULTS) -> None:
    """Try an arm's own grid of λ and learning rate on tuning documents."""
    _do(_plan_of(host, results).tune_arm(host, teacher, arm))


@app.command("evaluate-reconstruction")
def evaluate_reconstruction(host: Host, teacher: Teacher, results: Results = RESULTS) -> None:
    """MSE, FVU, L0 and alive of all arms of a pair on the test documents."""
    _do(_plan_of(host, results).evaluate_reconstruction(host, teacher))


@app.command("evaluate-downstream")
def evaluate_downstream(host: Host, teacher: Teacher, results: Results = RESULTS) -> None:
    """Delta CE, loss recovered and KL of all arms of a pair on the test documents."""
    _do(_plan_of(host, results).evaluate_downstream(host, teacher))


@app.command()
def probe(host: Host, teacher: Teacher, results: Results = RESULTS) -> None:
    """Sparse probes on the codes of all arms of a pair: what the text says of itself, told by a few features."""
    _do(_plan_of(host, results).probe(host, teacher))


@app.command("probe-text")
def probe_text(host: Host, teacher: Teacher, name: Labelled, results: Results = RESULTS) -> None:
    """Sparse probes on the codes of all arms of a pair: the classes of a labelled text, told by a few features."""
    _do(_plan_of(host, results).probe_text(host, teacher, name))


@app.command("tabulate-probing")
def tabulate_probing(suite: Suite, name: AnyLabelled = None, results: Results = RESULTS) -> None:
    """Sparse probes of all pairs to probing.csv and probing.md; with a name, those on that labelled text."""
    _do(_plan(suite, results).tabulate_probing(name))


@app.command("tabulate-pareto")
def tabulate_pareto(suite: Suite, results: Results = RESULTS) -> None:
    """Fronts of error against l0 over a suite's sparsity settings, and arms compared at one l0."""
    _do(_plan(suite, results).tabulate_pareto())


@app.command()
def examine(host: Host, teacher: Teacher, results: Results = RESULTS) -> None:
    """Gates, densities, stability and contexts of the features of a pair, for the report."""
    _do(_plan_of(host, results).examine(host, teacher))


@app.command()
def report(suite: Suite, results: Results = RESULTS) -> None:
    """The suite's page: report.html, with its figures and tables."""
    _do(_plan(suite, results).report())


@app.command()
def anatomy(host: Host, teacher: Teacher, results: Results = RESULTS) -> None:
    """L0 against eps, feature density, decoder drift, refined against original codes, of all arms of a pair."""
    _do(_plan_of(host, results).anatomy(host, teacher))


@app.command("tabulate-anatomy")
def tabulate_anatomy(suite: Suite, results: Results = RESULTS) -> None:
    """Anatomy of all pairs to anatomy.csv, anatomy.md and a figure."""
    _do(_plan(suite, results).tabulate_anatomy())


@app.command("tabulate-convergence")
def tabulate_convergence(suite: Suite, results: Results = RESULTS) -> None:
    """Whether further training helps a suite's teachers, to convergence.md."""
    _do(_plan(suite, results).tabulate_convergence())


@app.command()
def tables(suite: Suite, results: Results = RESULTS) -> None:
    """Judgements of all pairs to cells.csv and the tables."""
    _do(_plan(suite, results).tabulate())


@app.command("compare-reported")
def compare_reported(suite: Suite, results: Results = RESULTS) -> None:
    """A suite's cells beside the numbers that the source reports."""
    _do(_plan(suite, results).compare_reported())


@app.command("check-reported")
def check_reported(suite: Suite, results: Results = RESULTS) -> None:
    """Fail where a reported number, as far as it is rounded, lies outside our interval, or nothing was run."""
    from rsae.report.tables import paper_numbers

    job = _plan(suite, results).compare_reported()
    _require(job.inputs)
    known = load(job.arguments["source"], paper_numbers.Reported)
    compared = paper_numbers.compare(known, paper_numbers.read(job.arguments["cells"]))
    print(paper_numbers.table(known, compared))
    run = [c for c in compared if c.run]
    outside = [c for c in run if not c.holds]
    if not run:
        raise ValueError(f"none of the reported numbers was run in suite {suite!r}; nothing can be checked")
    if outside:
        raise ValueError(f"{len(outside)} of the {len(run)} reported numbers that were run lie outside our intervals")


@app.command("clean-activations")
def clean_activations(results: Results = RESULTS) -> None:
    """Delete the cached activations of every suite; an arm that is run again then harvests again."""
    import shutil

    for plan in load_plans(results=results).values():
        for address in plan.addresses():
            for folder in (plan.root / address / "activations", plan.unfinished(address, "harvest")):
                shutil.rmtree(folder, ignore_errors=True)


@app.command("run-card")
def run_card(suite: Suite, results: Results = RESULTS) -> None:
    """Commit, digests, device, versions, time and memory per rule."""
    _do(_plan(suite, results).run_card())


@app.command()
def show(suite: Suite, results: Results = RESULTS) -> None:
    """Print a suite's tables."""
    from rsae.runtime.seals import untouched

    plan = _plan(suite, results)
    _require(plan.printed())
    for path in plan.printed():
        if path in plan.tables():
            untouched(path)
        print(path.read_text())


@app.command()
def check(suite: Suite, results: Results = RESULTS) -> None:
    """Compare a suite's cells with expected/SUITE.json; fails with a table of those that moved."""
    from rsae.report.stats import regression
    from rsae.runtime.seals import untouched

    plan = _plan(suite, results)
    _require([plan.cells_file()])
    untouched(plan.cells_file())
    rows = regression.moved(plan.cells_file(), plan.expected_file())
    if len(rows):
        print(regression.table(rows))
        raise ValueError(f"{len(rows)} cells of {plan.cells_file()} left the tolerance of {plan.expected_file()}")
    print(f"{plan.cells_file()}: every cell is within the tolerance of {plan.expected_file()}")


@app.command()
def expect(suite: Suite, results: Results = RESULTS) -> None:
    """Make a suite's present cells the expected ones; tolerances stay."""
    from rsae.report.stats import regression
    from rsae.runtime.seals import untouched

    plan = _plan(suite, results)
    _require([plan.cells_file()])
    untouched(plan.cells_file())
    regression.renew(plan.cells_file(), plan.expected_file())


@app.command()
def keep(suite: Suite, results: Results = RESULTS) -> None:
    """Copy a suite's long tables, run card and tuning trials to expected/SUITE/, as small files to commit."""
    from rsae.report.tables import archive as kept
    from rsae.runtime.seals import untouched

    plan = _plan(suite, results)
    card = plan.run_card().arguments["out"]
    tables = [path for path in (plan.cells_file(), *plan.extra_tables()) if path.suffix == ".csv"]
    trials = plan.trials()
    _require([*tables, *trials.values(), card])
    untouched(plan.cells_file())
    kept.keep(tables, card, trials, plan.expected_file().with_suffix(""))


@app.command()
def upgrade(
    teacher: Annotated[
        str, typer.Option(help="Folder of an SAE; with --sae-id a release of sae_lens or a repository.")
    ],
    host: Annotated[str, typer.Option(help="Folder of the Hugging Face model that the SAE reads, or its name.")],
    text: Annotated[
        str,
        typer.Option(help="File (.jsonl with the key `text`, or paragraphs), a name in config/text, or a dataset."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for sae/, its card README.md, cells.csv and run-card.json.")],
    sae_id: Annotated[str | None, typer.Option(help="SAE within the release.")] = None,
    hook: Annotated[str | None, typer.Option(help="Site in the host; what the SAE says, if left out.")] = None,
    gate: Annotated[str, typer.Option(help="resolvent or pruned (ours), or rational (the paper's).")] = "resolvent",
    steps: Annotated[int, typer.Option(help="Batches of each fine-tune; 0 trains nothing.")] = 300,
    batch: Annotated[int, typer.Option(help="Tokens of a batch.")] = 512,
    ctx: Annotated[
        int | None, typer.Option(help="Tokens of a row, BOS included; what the SAE says, or 128, if left out.")
    ] = None,
    bos: Annotated[
        bool | None, typer.Option(help="Whether rows begin with BOS; what the SAE says, or yes, if left out.")
    ] = None,
    kind: Annotated[Kind | None, typer.Option(help="relu, jumprelu or topk: of a lone checkpoint.")] = None,
    k: Annotated[int | None, typer.Option(help="Active features per token, where a TopK's files do not say.")] = None,
    input_scale: Annotated[
        float | None, typer.Option(help="Factor by which activations were scaled in training, where no file says.")
    ] = None,
    center_writing_weights: Annotated[
        bool | None, typer.Option(help="Take each token's mean away; what the SAE says, if left out.")
    ] = None,
    max_tok: Annotated[int, typer.Option(help="Tokens of text, at most; all are kept in memory.")] = 200_000,
) -> None:
    """Upgrade one SAE on a text of your own; prints teacher, control and upgraded side by side."""
    from rsae.api.from_text import run
    from rsae.runtime.device import set_up_torch

    set_up_torch()
    stated = {name: v for name, v in {"k": k, "input_scale": input_scale}.items() if v is not None}
    found = run(
        teacher, sae_id, host, text, out, hook=hook, ctx=ctx, bos=bos, max_tok=max_tok, kind=kind, stated=stated,
        center_writing_weights=center_writing_weights, gate=gate, steps=steps, batch=batch,
    )  # fmt: skip
    print(found)
    print(f"\nwritten: {out}/sae, {out}/README.md, {out}/cells.csv, {out}/run-card.json")


@app.command()
def push(
    sae_dir: Annotated[Path, typer.Argument(help="Folder with cfg.json and sae_weights.safetensors.")],
    repo: Annotated[str, typer.Argument(help="Repository on the hub, such as me/my-saes; made if there is none.")],
    place: Annotated[str | None, typer.Option(help="Folder in the repository; the arm's name if left out.")] = None,
    cells: Annotated[Path | None, typer.Option(help="cells.csv with its numbers; found by itself in results/.")] = None,
    private: Annotated[bool, typer.Option(help="Make the repository private, if it is made.")] = False,
) -> None:
    """Upload an SAE with a model card; the token is read from the environment variable HF_TOKEN."""
    from rsae.api.push import push

    print(push(sae_dir, repo, place, cells, private))


@app.command()
def doctor(
    results: Results = RESULTS,
    network: Annotated[bool, typer.Option(help="Whether to ask the hub if it is there.")] = True,
) -> None:
    """Look at this machine: versions, device, compiler, disk, memory, hub; says what to do. Changes nothing."""
    from rsae.doctor import examine

    bad = 0
    for finding in examine(results, network):
        print(f"{finding.state:>4}  {finding.what}: {finding.said}", flush=True)
        bad += finding.state == "bad"
    if bad:
        raise ValueError(f"{bad} of these must be mended before the embedded suite can run")


@app.command("train-text")
def train_text(results: Results = RESULTS) -> None:
    """Documents of every split, as the embedded host and teachers were trained on."""
    _do(load_assets_plan(results).text())


@app.command("train-host")
def train_host(results: Results = RESULTS) -> None:
    """Train the embedded host again, into results/assets."""
    _do(load_assets_plan(results).host())


@app.command("train-activations")
def train_activations(split: Split, results: Results = RESULTS) -> None:
    """Activations that the embedded teachers are trained on."""
    _do(load_assets_plan(results).activations(split))


@app.command("train-teacher")
def train_teacher(teacher: Teacher, results: Results = RESULTS) -> None:
    """Train one embedded teacher again, into results/assets."""
    _do(load_assets_plan(results).teacher(teacher))


@app.command("more-activations")
def more_activations(split: Split, results: Results = RESULTS) -> None:
    """Activations of the committed host that further teachers are trained on."""
    _do(load_more_teachers_plan(results).activations(split))


@app.command("more-teacher")
def more_teacher(teacher: Teacher, results: Results = RESULTS) -> None:
    """Train one teacher of config/teachers.yaml into results/teachers."""
    _do(load_more_teachers_plan(results).teacher(teacher))


@app.command()
def families(results: Results = RESULTS) -> None:
    """Independently trained teachers of one recipe, over suites: documents, seeds and teachers resampled."""
    _do(load_families_plan(load_plans(results=results), results).tabulate())


@app.command("promote-assets")
def promote_assets(results: Results = RESULTS) -> None:
    """Copy a finished training of host and teachers over assets/embedded."""
    from rsae.training.assets.promote import promote

    plan = load_assets_plan(results)
    promote(plan.files(), plan.root, Path("assets/embedded"))


# the page of `--help`: what people type comes first, then the stages, which Snakemake calls
PANELS = {
    "For people": ("upgrade", "push", "doctor", "show", "report", "check", "check-reported", "expect", "keep"),
    "Stages of a suite, in their order": (),  # all that are not named here
    "Gates and theory, without data": ("fit-gate", "gates", "theory"),
    "What comes from a hub": ("preflight", "fetch", "fetch-all", "clean-activations"),
    "Teachers beside the committed ones, and what holds over all": ("more-activations", "more-teacher", "families"),
    "The embedded host and teachers, trained again": (
        "train-text",
        "train-host",
        "train-activations",
        "train-teacher",
        "promote-assets",
    ),
}


def _panel(command: CommandInfo) -> int:
    assert command.callback is not None
    name = command.name or command.callback.__name__.replace("_", "-")
    return next((i for i, names in enumerate(PANELS.values()) if name in names), 1)


for _command in app.registered_commands:
    _command.rich_help_panel = [*PANELS][_panel(_command)]
app.registered_commands.sort(key=_panel)


def main() -> None:
    """Run a command; a mistake is one sentence on stderr and exit status 1."""
    try:
        app()
    except Exception as error:
        said = mistakes.sentence(error, next(iter(sys.argv[1:]), ""))
        if said is None:
            raise
        sys.exit(f"rsae: {said}")
