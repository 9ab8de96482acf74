"""``python -m rsae COMMAND``: what people type, and every stage of the workflow."""

import sys

import typer

from rsae.cli import errors, people, stages

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Rational sparse autoencoders: fit a gate, upgrade a teacher, judge both honestly. "
    "Every stage reads files and writes files; which ones follows from config/suites/*.yaml.",
    epilog="Start with `doctor`, then `upgrade --help` for an SAE of your own, or `snakemake quick` for the whole "
    "comparison in a few minutes. docs/tutorial.md takes ten.",
)
app.add_typer(people.app)
app.add_typer(stages.app)
app.add_typer(people.others)


def main() -> None:
    """Run a command; a mistake is one sentence on stderr and exit status 1."""
    try:
        app()
    except Exception as error:
        said = errors.sentence(error, next(iter(sys.argv[1:]), ""))
        if said is None:
            raise
        sys.exit(f"rsae: {said}")
