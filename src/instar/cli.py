"""The command line: every verb is the function of the same name, with its settings as flags.

Settings come from four places, each laid over the one before: the defaults, `--config`, the flags, `--set`. Results go
to stdout (as JSON with `--json`), progress to stderr. What the user can mend ends with one sentence and exit code 2.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

# Everything else is imported inside the verbs: `instar --help` must not wait for torch.
if TYPE_CHECKING:
    from instar.config import RunConfig
    from instar.run import Run

app = typer.Typer(
    help="Distil the models you have into one that is smaller or better.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
targets_app = typer.Typer(help="What a target store holds, and whether it is whole and true.", no_args_is_help=True)
app.add_typer(targets_app, name="targets")
papers_app = typer.Typer(help="Reproduce published tables, our numbers beside theirs.", no_args_is_help=True)
app.add_typer(papers_app, name="papers")

DataArgument = Annotated[
    str | None, typer.Argument(help='"digits", a Hugging Face Hub id, or a local folder in the same layout')
]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="a family such as mlp, cnn or wide-resnet, or package.module:Class")
]
ArgOption = Annotated[
    list[str] | None, typer.Option("--arg", help="an argument of the model, as name=value; may be repeated")
]
StoreArgument = Annotated[Path, typer.Argument(help="a target store")]
OutOption = Annotated[Path, typer.Option("--out", help="the run folder; run the same command again to resume it")]
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
EpochsOption = Annotated[int | None, typer.Option("--epochs", help="passes over the training samples")]
SeedOption = Annotated[int | None, typer.Option("--seed", help="of initial weights, order, dropout and views")]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="YAML file of settings")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="any setting, as training.learning_rate=0.1; may be repeated")
]
JsonOption = Annotated[bool, typer.Option("--json", help="print the result as JSON on stdout")]
TrustOption = Annotated[bool, typer.Option("--trust", help="allow classes outside instar.models to be imported")]


@app.command()
def train(
    data: DataArgument = None,
    *,
    out: OutOption,
    model: ModelOption = None,
    arg: ArgOption = None,
    objective: ObjectiveOption = None,
    views: ViewsOption = None,
    epochs: EpochsOption = None,
    seed: SeedOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
    trust: TrustOption = False,
) -> None:
    """Train a model from labels.

    Example: instar train digits --model mlp --arg widths=[64,64] --epochs 20 --out runs/teacher
    """
    flags = _flags(data, model, arg, objective, views, epochs, seed)
    _run_stage(_configure(config, flags, settings), out, trust=trust or _names_a_class(model), as_json=as_json)


@app.command()
def distill(
    data: DataArgument = None,
    *,
    out: OutOption,
    teacher: TeacherOption = None,
    model: ModelOption = None,
    arg: ArgOption = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", help="short for --objective 'SoftTargets(temperature)'")
    ] = None,
    objective: ObjectiveOption = None,
    combine: CombineOption = None,
    targets: TargetsOption = None,
    views: ViewsOption = None,
    epochs: EpochsOption = None,
    seed: SeedOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
    trust: TrustOption = False,
) -> None:
    """Train a student on the soft targets of one teacher or several.

    Example: instar distill digits --teacher runs/teacher --model mlp --arg widths=[16] --temperature 4 --out runs/small
    """
    from instar.errors import ConfigError

    if temperature is not None:
        if objective is not None:
            raise ConfigError("give --temperature or --objective, not both.")
        objective = f"SoftTargets({temperature:g})"
    flags = _flags(data, model, arg, objective, views, epochs, seed)
    if combine is not None:
        flags["combine"] = combine
    flags |= _kept_where(targets)
    if teacher:
        flags["teachers"] = list(teacher)
    values = _configure(config, flags, settings)
    if not values.teachers:
        raise ConfigError("distill needs a teacher; give --teacher with a run folder.")
    if "objective" not in values.model_fields_set:
        values = values.model_copy(update={"objective": "SoftTargets(4) + 0.1 * HardLabels()"})
    _run_stage(values, out, trust=trust or _names_a_class(model), as_json=as_json)


@app.command()
def label(
    data: DataArgument = None,
    *,
    out: Annotated[Path, typer.Option("--out", help="the target store; run the same command again to resume it")],
    teacher: TeacherOption = None,
    views: Annotated[int | None, typer.Option("--views", min=1, help="views per sample")] = None,
    augmentation: Annotated[
        str | None, typer.Option("--augmentation", help='what the views show, such as "Crop(4) + Flip()"')
    ] = None,
    keep: Annotated[str, typer.Option("--keep", help="all, top:K or sample:N classes")] = "all",
    dtype: Annotated[str, typer.Option("--dtype", help="float32, float16 or bfloat16")] = "float16",
    temperature: Annotated[
        float | None, typer.Option("--temperature", help="of top:K, sample:N and arithmetic means; 1 if not given")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="of the views, and of the classes drawn")] = 0,
    held_out: Annotated[bool, typer.Option(help="label the validation and test samples too")] = True,
    combine: CombineOption = None,
    precision: Annotated[
        str, typer.Option("--precision", help="arithmetic of the teacher: float32, float32-fast, bfloat16")
    ] = "float32",
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="samples that are asked about at a time")
    ] = 256,
    share: Annotated[
        str, typer.Option("--share", help="i/n: make the i-th n-th alone, to merge; the same command shares by itself")
    ] = "1/1",
    config: ConfigOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
    trust: TrustOption = False,
) -> None:
    """Ask a teacher once: write what it says about every sample and view to a target store.

    Example: instar label digits --teacher runs/teacher --keep top:5 --temperature 4 --out runs/targets
    """
    from instar.errors import ConfigError
    from instar.procedures import label as ask

    if not teacher:
        raise ConfigError("label needs a teacher; give --teacher with a run folder.")
    store = ask(
        _configure(config, {"model": {"name": ""}} | _flags(data, *[None] * 6), settings).data,
        list(teacher),
        out=out,
        views=augmentation or "Identity()",
        num_views=views,
        keep=keep,
        dtype=dtype,  # type: ignore[arg-type]  # checked inside
        temperature=temperature,
        seed=seed,
        held_out=held_out,
        combine=combine or "geometric",  # type: ignore[arg-type]  # checked inside
        precision=precision,  # type: ignore[arg-type]  # checked inside
        batch_size=batch_size,
        share=_share(share),
        trust=trust,
    )
    _print_store(store.path, as_json)


@targets_app.command("info")
def targets_info(store: StoreArgument, as_json: JsonOption = False) -> None:
    """Say whose answers a store holds, about what, how large it is, and whether it is complete."""
    _print_store(store, as_json)


@targets_app.command("verify")
def targets_verify(
    store: StoreArgument,
    teacher: TeacherOption = None,
    data: Annotated[str | None, typer.Option("--data", help="the data, where they have moved")] = None,
    rows: Annotated[int, typer.Option("--rows", min=0, help="rows of each part that the teacher is asked again")] = 256,
    as_json: JsonOption = False,
    trust: TrustOption = False,
) -> None:
    """Compare every checksum, and ask the teacher again about random rows."""
    from instar.procedures import verify_targets as verify

    found = verify(store, teacher=list(teacher) if teacher else None, data=data, rows=rows, trust=trust)
    print(json.dumps(found.as_dict()) if as_json else found)


@targets_app.command("merge")
def targets_merge(
    stores: Annotated[list[Path], typer.Argument(help="target stores that were labelled with --share")],
    out: Annotated[Path, typer.Option("--out", help="the folder of the whole store")],
    as_json: JsonOption = False,
) -> None:
    """Put the shards of several stores of one plan into one."""
    from instar.procedures import merge_targets as merge

    _print_store(merge(stores, out).path, as_json)


@app.command("born-again")
def born_again(
    data: DataArgument = None,
    *,
    out: Annotated[
        Path, typer.Option("--out", help="folder of the lineage; run the same command again to resume it")
    ] = Path("runs/born-again"),
    generations: Annotated[int, typer.Option("--generations", help="how many are born after generation 0")] = 3,
    model: ModelOption = None,
    arg: ArgOption = None,
    student: Annotated[
        str | None, typer.Option("--student", help="model of the later generations, where it is another")
    ] = None,
    student_arg: Annotated[
        list[str] | None, typer.Option("--student-arg", help="an argument of it, as name=value; may be repeated")
    ] = None,
    objective: Annotated[
        str,
        typer.Option("--objective", help='of the later generations; "SoftTargets(1) + HardLabels()" adds the labels'),
    ] = "SoftTargets(1)",
    stop_early: Annotated[
        bool, typer.Option("--stop-early", help="end with the first generation that is no better on validation")
    ] = False,
    controls: Annotated[
        bool, typer.Option(help="also train as many models from labels with other seeds, and one with label smoothing")
    ] = True,
    distil_ensemble: Annotated[
        bool, typer.Option("--distil-ensemble", help="distil the ensemble of generations back into one model")
    ] = False,
    targets: TargetsOption = None,
    views: ViewsOption = None,
    epochs: EpochsOption = None,
    seed: SeedOption = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="runs at a time")] = 1,
    config: ConfigOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
    trust: TrustOption = False,
) -> None:
    """Re-train a model on its own soft targets, generation after generation.

    Example: instar born-again digits --generations 3
    """
    from instar.objectives import parse_objective
    from instar.procedures.born_again import DEFAULT_MODEL, Plan

    flags = _flags(data, model, arg, None, views, epochs, seed) | _kept_where(targets)
    first = _configure(config, {"model": DEFAULT_MODEL} | flags, settings)
    later = first.model
    if student is not None or student_arg:
        later = _configure(None, {"data": {"source": ""}} | _flags(None, student, student_arg, *[None] * 4), None).model
    lineage = Plan(
        first,
        out,
        generations,
        student=later,
        objective=parse_objective(objective),
        stop_early=stop_early,
        trust=trust or _names_a_class(model) or _names_a_class(student),
    ).run(controls=controls, distil_ensemble=distil_ensemble, jobs=jobs)
    print(json.dumps(lineage.as_dict()) if as_json else lineage)


@app.command()
def evaluate(
    run: Annotated[str, typer.Argument(help="a run folder")],
    data: Annotated[str | None, typer.Option("--data", help="other data than the run was trained on")] = None,
    split: Annotated[str, typer.Option("--split", help="train, validation or test")] = "test",
    teacher: Annotated[str | None, typer.Option("--teacher", help="a run folder; adds agreement with it")] = None,
    as_json: JsonOption = False,
    trust: TrustOption = False,
) -> None:
    """Measure a trained model: errors with a 95% interval, NLL, calibration, agreement with a teacher."""
    from instar.procedures import evaluate as measure

    _print_metrics(measure(run, data, split=split, teacher=teacher, trust=trust), as_json, title=f"{run} on {split}")


@app.command("correct-bias")
def correct_bias(
    run: Annotated[str, typer.Argument(help="a run folder")],
    classes: Annotated[list[str], typer.Option("--class", help="name of a class to shift; may be repeated")],
    out: Annotated[Path, typer.Option("--out", help="the folder of the corrected run")],
    rule: Annotated[
        str, typer.Option("--rule", help="prior (needs no labels) or labelled (validation split)")
    ] = "prior",
    offset: Annotated[float | None, typer.Option("--offset", help="shift by this instead, in nats")] = None,
    as_json: JsonOption = False,
    trust: TrustOption = False,
) -> None:
    """Shift the logits of classes that the student's transfer set lacked, or held too often."""
    from instar.procedures import correct_bias as correct

    _print_run(correct(run, classes, out=out, rule=rule, offset=offset, trust=trust), as_json)  # type: ignore[arg-type]  # checked inside


@app.command()
def report(
    runs: Annotated[Path, typer.Argument(help="a folder with run folders in it, at any depth")],
    out: Annotated[
        Path | None, typer.Option("--out", help="the HTML file; report.html in the folder if not given")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write one HTML file about all runs in a folder."""
    from instar.procedures import report as write

    path = write(runs, out)
    print(json.dumps({"report": str(path)}) if as_json else path)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="where the runs and the report go")] = Path("runs/demo"),
    seeds: Annotated[int, typer.Option("--seeds", min=2, help="students with and without distillation")] = 5,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="runs at a time")] = 2,
    as_json: JsonOption = False,
) -> None:
    """Distil an ensemble of five nets into one of a tenth of the size, on embedded data, and write a report."""
    from instar.procedures import demo as show

    summary = show(out, seeds=seeds, jobs=jobs)
    print(json.dumps(summary.as_dict()) if as_json else summary)


@papers_app.command("list")
def papers_list(as_json: JsonOption = False) -> None:
    """List the tables that can be reproduced."""
    from instar.papers import PAPERS

    if as_json:
        print(json.dumps({name: paper.title for name, paper in PAPERS.items()}))
    else:
        for name, paper in PAPERS.items():
            print(f"{name}  {paper.title}")


@papers_app.command("run")
def papers_run(
    name: Annotated[str, typer.Argument(help="a name from `instar papers list`")],
    scale: Annotated[str, typer.Option("--scale", help="smoke, small, paper (hours on two cores) or gpu")] = "smoke",
    data: Annotated[
        str | None, typer.Option("--data", help="the data set, where it is not the paper's default")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="folder of the runs and the table")] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="runs per row")] = None,
    targets: TargetsOption = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="runs at a time")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Reproduce a table; run the same command again to resume it."""
    from instar.papers import run_paper

    table = run_paper(name, scale=scale, data=data, out=out, seeds=seeds, jobs=jobs, targets=targets)
    print(json.dumps(table.as_list()) if as_json else table.as_markdown())


def _flags(
    data: str | None,
    model: str | None,
    arg: list[str] | None,
    objective: str | None,
    views: str | None,
    epochs: int | None,
    seed: int | None,
) -> dict[str, Any]:
    """Return the flags that were given, as nested settings."""
    from instar.config import parse_assignment

    flags: dict[str, Any] = {
        name: value for name, value in (("objective", objective), ("views", views), ("seed", seed)) if value is not None
    }
    if data is not None:
        flags["data"] = {"source": data}
    if model is not None:
        flags["model"] = {"name": model}
    if arg:
        arguments = {".".join(path): value for path, value in map(parse_assignment, arg)}
        flags["model"] = flags.get("model", {}) | {"arguments": arguments}
    if epochs is not None:
        flags["training"] = {"epochs": epochs}
    return flags


def _kept_where(targets: str | None) -> dict[str, Any]:
    """Return the settings that --targets stands for."""
    if targets is None:
        return {}
    from instar.procedures.kept import kept_where

    return {name: value for name, value in kept_where(targets).items() if value}


def _share(text: str) -> tuple[int, int]:
    """Read i/n."""
    from instar.errors import ConfigError

    first, _, of = text.partition("/")
    if not (first.isdigit() and of.isdigit()):
        raise ConfigError(f"--share must be i/n, such as 1/4, got '{text}'.")
    return int(first), int(of)


def _configure(file: Path | None, flags: dict[str, Any], settings: list[str] | None) -> RunConfig:
    """Lay the file, the flags and the assignments over each other."""
    from instar.config import RunConfig, merge, parse_assignment, read_yaml, validate

    values = merge(read_yaml(file) if file else {}, flags)
    for path, value in map(parse_assignment, settings or []):
        for key in reversed(path):
            value = {key: value}  # noqa: PLW2901 (wrapped level by level)
        values = merge(values, value)
    return validate(RunConfig, values)


def _names_a_class(model: str | None) -> bool:
    """Return whether the user named a class on this command line: that is saying that it may be imported."""
    return model is not None and ":" in model


def _run_stage(config: RunConfig, out: Path, *, trust: bool, as_json: bool) -> None:
    from instar.procedures import Stage

    _print_run(Stage(config, out, trust=trust).run(), as_json)


def _print_run(run: Run, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"run": str(run.path), **run.result}))
        return
    _print_metrics(run.metrics, as_json, title=str(run.path))


def _print_store(store: Path, as_json: bool) -> None:
    from instar.procedures import targets_info as info
    from instar.procedures.target_stores import describe_targets

    print(json.dumps(info(store)) if as_json else describe_targets(store))


def _print_metrics(metrics: dict[str, Any], as_json: bool, title: str) -> None:
    if as_json:
        print(json.dumps(metrics))
        return
    low, high = metrics["error_interval"]
    print(title)
    errors = f"{metrics['errors']} of {metrics['samples']}"
    print(f"  errors     {errors}: {metrics['error']:.2%} (95%: {low:.2%} to {high:.2%})")
    print(f"  nll        {metrics['nll']:.4f} nats")
    print(f"  ece        {metrics['ece']:.2%}")
    if "agreement" in metrics:
        print(f"  agreement  {metrics['agreement']:.2%} with the teacher")


def main() -> None:
    """Run the command line; what the user can mend ends with one sentence and exit code 2."""
    sys.path.insert(0, "")  # a class of the user's is looked up from where the command is given, as python -m does
    try:
        app()
    except ValueError as error:
        from instar.errors import InstarError

        if not isinstance(error, InstarError):
            raise
        print(f"instar: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
