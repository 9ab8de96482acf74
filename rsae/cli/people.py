"""Commands that people type and that are no stage: an SAE of one's own, tables to look at, numbers to hold."""

import json
import shutil
from pathlib import Path
from typing import Annotated, Literal

import typer

from rsae.cli.options import EMBEDDED, GATES, HUB, PEOPLE, RESULTS, Results, SuiteName, plan_named, require
from rsae.config.load import load
from rsae.config.types import Kind
from rsae.plan import load_assets_plan, load_plans

app = typer.Typer()
others = typer.Typer()  # commands that stand with the stages of their kind


@app.command(rich_help_panel=PEOPLE)
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
    gate: Annotated[
        Literal["resolvent", "pruned", "rational"], typer.Option(help="Two of ours, and the paper's.")
    ] = "resolvent",
    steps: Annotated[int, typer.Option(min=0, help="Batches of each fine-tune; 0 trains nothing.")] = 300,
    batch: Annotated[int, typer.Option(min=1, help="Tokens of a batch.")] = 512,
    ctx: Annotated[
        int | None, typer.Option(min=2, help="Tokens of a row, BOS included; what the SAE says, or 128, if left out.")
    ] = None,
    bos: Annotated[
        bool | None, typer.Option(help="Whether rows begin with BOS; what the SAE says, or yes, if left out.")
    ] = None,
    kind: Annotated[Kind | None, typer.Option(help="relu, jumprelu or topk: of a lone checkpoint.")] = None,
    k: Annotated[
        int | None, typer.Option(min=1, help="Active features per token, where a TopK's files do not say.")
    ] = None,
    input_scale: Annotated[
        float | None, typer.Option(help="Factor by which activations were scaled in training, where no file says.")
    ] = None,
    center_writing_weights: Annotated[
        bool | None, typer.Option(help="Take each token's mean away; what the SAE says, if left out.")
    ] = None,
    max_tok: Annotated[int, typer.Option(min=1, help="Tokens of text, at most; all are kept in memory.")] = 200_000,
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


@app.command(rich_help_panel=PEOPLE)
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


@app.command(rich_help_panel=PEOPLE)
def doctor(
    results: Results = RESULTS,
    network: Annotated[bool, typer.Option(help="Whether to ask the hub if it is there.")] = True,
) -> None:
    """Look at this machine: versions, device, compiler, disk, memory, hub; says what to do. Changes nothing."""
    from rsae.cli.doctor import examine

    bad = 0
    for finding in examine(results, network):
        print(f"{finding.state:>4}  {finding.what}: {finding.said}", flush=True)
        bad += finding.state == "bad"
    if bad:
        raise ValueError(f"{bad} of these must be mended before the embedded suite can run")


@app.command(rich_help_panel=PEOPLE)
def show(suite: SuiteName, results: Results = RESULTS) -> None:
    """Print a suite's tables."""
    from rsae.runtime.seals import untouched

    plan = plan_named(suite, results)
    require(plan.printed(), results)
    for path in plan.printed():
        if path in plan.tables():
            untouched(path)
        print(path.read_text(encoding="utf-8"))


@app.command(rich_help_panel=PEOPLE)
def check(suite: SuiteName, results: Results = RESULTS) -> None:
    """Compare a suite's cells with expected/regression/SUITE.json; fails with a table of those that moved."""
    from rsae.report.stats import regression
    from rsae.runtime.seals import untouched

    plan = plan_named(suite, results)
    require([plan.cells_file()], results)
    untouched(plan.cells_file())
    rows = regression.moved(plan.cells_file(), plan.expected_file())
    if len(rows):
        print(regression.table(rows))
        raise ValueError(f"{len(rows)} cells of {plan.cells_file()} left the tolerance of {plan.expected_file()}")
    print(f"{plan.cells_file()}: every cell is within the tolerance of {plan.expected_file()}")


@app.command("check-reported", rich_help_panel=PEOPLE)
def check_reported(suite: SuiteName, results: Results = RESULTS) -> None:
    """Fail where a reported number, as far as it is rounded, lies outside our interval, or nothing was run."""
    from rsae.report.tables import paper_numbers

    job = plan_named(suite, results).compare_reported()
    require(job.inputs, results)
    known = load(job.arguments["source"], paper_numbers.Reported)
    compared = paper_numbers.compare(known, paper_numbers.read(job.arguments["cells"]))
    print(paper_numbers.table(known, compared))
    run = [c for c in compared if c.run]
    outside = [c for c in run if not c.holds]
    if not run:
        raise ValueError(f"none of the reported numbers was run in suite {suite!r}; nothing can be checked")
    if outside:
        raise ValueError(f"{len(outside)} of the {len(run)} reported numbers that were run lie outside our intervals")


@app.command(rich_help_panel=PEOPLE)
def expect(suite: SuiteName, results: Results = RESULTS) -> None:
    """Make a suite's present cells the expected ones in expected/regression/SUITE.json; tolerances stay."""
    from rsae.report.stats import regression
    from rsae.runtime.seals import untouched

    plan = plan_named(suite, results)
    require([plan.cells_file()], results)
    untouched(plan.cells_file())
    regression.renew(plan.cells_file(), plan.expected_file())


@app.command(rich_help_panel=PEOPLE)
def archive(suite: SuiteName, results: Results = RESULTS) -> None:
    """Copy a suite's long tables, run card and tuning trials to expected/archive/SUITE/, as small files to commit."""
    from rsae.report.tables.archive import write
    from rsae.runtime.seals import untouched

    plan = plan_named(suite, results)
    card = plan.run_card().arguments["out"]
    tables = [path for path in (plan.cells_file(), *plan.extra_tables()) if path.suffix == ".csv"]
    trials = plan.trials()
    require([*tables, *trials.values(), card], results)
    untouched(plan.cells_file())
    write(tables, card, trials, plan.archive())


@others.command("fit-gate", rich_help_panel=GATES)
def fit_gate(
    target: Annotated[str, typer.Option(help="relu, jumprelu, topk or sign.")],
    degree: Annotated[tuple[int, int], typer.Option(help="Degrees of numerator and denominator.")],
    theta: Annotated[float | None, typer.Option(help="Where the jump is; for topk the supplied threshold.")] = None,
    delta: Annotated[float | None, typer.Option(help="Half width of the gap around it.")] = None,
    grid: Annotated[int | None, typer.Option(help="Points of a uniform grid; the continuum if not given.")] = None,
    json_: Annotated[str, typer.Option("--json", help="File for the record; - prints it.")] = "-",
) -> None:
    """Minimax fit of a gate by a rational function."""
    from rsae.rational.record import fitted
    from rsae.runtime.files import sealed, write_json

    record = fitted(target=target, degree=degree, theta=theta, delta=delta, grid=grid)
    if json_ == "-":
        print(json.dumps(record, indent=2))
    else:
        write_json(json_, sealed(record))


@others.command("clean-activations", rich_help_panel=HUB)
def clean_activations(results: Results = RESULTS) -> None:
    """Delete the cached activations of every suite; an arm that is run again then harvests again."""
    for plan in load_plans(results=results).values():
        for address in plan.addresses():
            for folder in (plan.root / address / "activations", plan.unfinished(address, "harvest")):
                shutil.rmtree(folder, ignore_errors=True)


@others.command("promote-assets", rich_help_panel=EMBEDDED)
def promote_assets(results: Results = RESULTS) -> None:
    """Copy a finished training of host and teachers over assets/embedded."""
    from rsae.training.assets.promote import promote

    plan = load_assets_plan(results)
    promote(plan.files(), plan.root, Path("assets/embedded"))
