"""The verbs of the command line, put together."""

from __future__ import annotations

import gc
import sys

import typer

from instar.cli import exporting, measuring, papers, specialists, targets, training
from instar.cli.ending import exit_code

app = typer.Typer(
    help="Distil your models into one that is smaller or better.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # exit_code says in one sentence what happened, and keeps the traceback in a file
    rich_markup_mode=None,  # brackets in help texts, such as widths=[64], are text
)
# in the order of a project, in which --help lists them
for verb in (
    training.train,
    training.distill,
    training.born_again,
    training.tune,
    targets.synthesise,
    targets.label,
    measuring.evaluate,
    measuring.compare,
    measuring.ensemble,
    measuring.correct_bias,
    measuring.report,
    exporting.export,
    exporting.born_again_tree,
    exporting.predict,
    exporting.inspect,
    exporting.layers,
    exporting.verify_data,
    measuring.verify_loss,
    papers.demo,
):
    app.command()(verb)

targets_app = typer.Typer(help="Describe, verify and merge target stores.", no_args_is_help=True)
for command in (targets.info, targets.verify, targets.merge):
    targets_app.command()(command)
app.add_typer(targets_app, name="targets")

specialists_app = typer.Typer(help="Train experts on the classes that a model confuses.", no_args_is_help=True)
for step in (specialists.cluster, specialists.train, specialists.combine, specialists.evaluate):
    specialists_app.command()(step)
app.add_typer(specialists_app, name="specialists")

papers_app = typer.Typer(help="Reproduce tables of published papers.", no_args_is_help=True)
papers_app.command("list")(papers.list_papers)  # `list` is a type of Python, so the function has another name
papers_app.command()(papers.run)
app.add_typer(papers_app, name="papers")


COLLECTION_OBJECTS = 10_000
"""Number of new objects after which Python looks for garbage in the commands of Instar."""


def main() -> None:
    """Run the command line, and exit; see `instar.cli.ending` for the codes."""
    # the imported libraries make half a million objects, which stay, and which Python's 700 would look at many times
    gc.set_threshold(max(COLLECTION_OBJECTS, gc.get_threshold()[0]), *gc.get_threshold()[1:])
    sys.exit(exit_code(app))
