"""The flags of lineages: generations, and phases."""

from __future__ import annotations

from typing import Annotated

import typer

from instar.cli.trust import import_named, trust_typed

PhasesOption = Annotated[
    str | None,
    typer.Option("--phases", help="YAML file with a list of phases; each starts from the weights of the one before it"),
]
GenerationsOption = Annotated[
    int | None, typer.Option("--generations", help="number of generations after generation 0 [default: 3]")
]
StopEarlyOption = Annotated[
    bool, typer.Option("--stop-early", help="stop after the first generation that is not better on validation")
]
ControlsOption = Annotated[
    bool | None,  # None unless one of the two flags is given, like every flag whose function has a default
    typer.Option(
        "--controls/--no-controls",
        help="also train as many models on labels with other seeds, and one with label smoothing [default: True]",
    ),
]
DistilEnsembleOption = Annotated[
    bool, typer.Option("--distil-ensemble", help="distil the ensemble of generations back into one model")
]
StudentOption = Annotated[
    str | None,
    typer.Option("--student", help="model of the later generations, if it differs from --model", callback=import_named),
]
StudentArgOption = Annotated[
    list[str] | None, typer.Option("--student-arg", help="argument of the student, as name=value; may be repeated")
]
LaterObjectiveOption = Annotated[
    str | None,
    typer.Option(
        "--objective",
        help='objective of later generations; "SoftTargets(1) + HardLabels()" adds labels; SoftTargets(1) if '
        "not given, or SquaredError('teacher') for numbers",
        callback=trust_typed,
    ),
]
LineageOutOption = Annotated[
    str | None,
    typer.Option(
        "--out", help="folder of the lineage; run the same command again to resume [default: runs/born-again]"
    ),
]
