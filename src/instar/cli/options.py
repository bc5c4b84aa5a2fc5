"""Flags that several verbs have."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def import_from_here(is_trusted: bool) -> bool:
    """Let a trusted class be imported from the folder where the command is given, as `python -m` does.

    Without trust nothing is, since a stranger's folder may hold a file called torch.py.
    """
    if is_trusted and "" not in sys.path:
        sys.path.insert(0, "")
    return is_trusted


DataArgument = Annotated[
    str | None, typer.Argument(help='"digits", a Hugging Face Hub id, or a local folder in the same layout')
]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="a family such as mlp, cnn or wide-resnet, or package.module:Class")
]
ArgOption = Annotated[
    list[str] | None, typer.Option("--arg", help="an argument of the model, as name=value; may be repeated")
]
StoreArgument = Annotated[str, typer.Argument(help="a target store")]
OutOption = Annotated[str, typer.Option("--out", help="the run folder; run the same command again to resume it")]
ObjectiveOption = Annotated[
    str | None, typer.Option("--objective", help='weighted sum of terms, such as "SoftTargets(4) + 0.1 * HardLabels()"')
]
TeacherOption = Annotated[
    list[str] | None, typer.Option("--teacher", help="run folder or target store; repeat it for an ensemble")
]
CombineOption = Annotated[
    str | None, typer.Option("--combine", help="geometric (mean logits) or arithmetic (mean probabilities)")
]
TargetsOption = Annotated[
    str | None,
    typer.Option(
        "--targets", help="online; memory or store: ask the teacher once per sample and view; or a folder of stores"
    ),
]
ViewsOption = Annotated[str | None, typer.Option("--views", help='augmentation, such as "Crop(4) + Flip()"')]
NumViewsOption = Annotated[int | None, typer.Option("--num-views", min=1, help="views per sample")]
EpochsOption = Annotated[int | None, typer.Option("--epochs", help="passes over the training samples")]
SeedOption = Annotated[int | None, typer.Option("--seed", help="of initial weights, order, dropout and views")]
ConfigOption = Annotated[str | None, typer.Option("--config", help="YAML file of settings")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="any setting, as training.learning_rate=0.1; may be repeated")
]
JobsOption = Annotated[
    str,
    typer.Option("--jobs", help='runs at a time: a number, or Ray as in "ray?gpus=0.5" or "ray://host:port?cpus=2"'),
]
JsonOption = Annotated[bool, typer.Option("--json", help="print the result as JSON on stdout")]
NetworkOption = Annotated[
    str | None,
    typer.Option("--network", help="package.module:name of what makes the network of a run that needs it; see --trust"),
]
TrustOption = Annotated[
    bool,
    typer.Option("--trust", help="allow classes outside instar.models to be imported", callback=import_from_here),
]
