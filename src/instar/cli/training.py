"""`train`, `distill`, `born-again` and `tune`."""

from __future__ import annotations

import instar
from instar.cli import lineage_options, options, transfer_options
from instar.cli.output import print_result, print_run
from instar.cli.settings import only_given, parse_model, parse_numbers, parse_parts, parse_shared, parse_teachers


def train(
    data: options.DataArgument = None,
    *,
    out: options.OutOption,
    model: options.ModelOption = None,
    arg: options.ArgOption = None,
    objective: options.ObjectiveOption = None,
    reader: options.ReaderOption = None,
    views: options.ViewsOption = None,
    num_views: options.NumViewsOption = None,
    start: options.StartOption = None,
    epochs: options.EpochsOption = None,
    seed: options.SeedOption = None,
    config: options.ConfigOption = None,
    settings: options.SetOption = None,
    network: options.NetworkOption = None,
    as_json: options.JsonOption = False,
    trust: options.TrustOption = False,
) -> None:
    """Train a model on labels.

    Example: instar train digits --model mlp --arg widths=[64,64] --epochs 20 --out runs/teacher
    """
    # a flag that was not given must not override the setting of a file, so it is left out of the call
    given = only_given(
        objective=objective,
        reader=reader,
        views=views,
        num_views=num_views,
        start=start,
        epochs=epochs,
        seed=seed,
    )
    shared = parse_shared(config, settings, network, trust)
    run = instar.train(data, parse_model(model, arg), out=out, **shared, **given)
    print_run(run, as_json)


def distill(
    data: options.DataArgument = None,
    *,
    out: options.OutOption,
    teacher: options.TeacherOption = None,
    teacher_arg: options.TeacherArgOption = None,
    teacher_weights: options.TeacherWeightsOption = None,
    teacher_reader: options.TeacherReaderOption = None,
    teacher_classes: options.TeacherClassesOption = None,
    model: options.ModelOption = None,
    arg: options.ArgOption = None,
    temperature: options.TemperatureOption = None,
    objective: options.ObjectiveOption = None,
    combine: options.CombineOption = None,
    targets: options.TargetsOption = None,
    transfer: transfer_options.TransferOption = None,
    transfer_rows: transfer_options.TransferRowsOption = None,
    reader: options.ReaderOption = None,
    views: options.ViewsOption = None,
    num_views: options.NumViewsOption = None,
    start: options.StartOption = None,
    phases: lineage_options.PhasesOption = None,
    epochs: options.EpochsOption = None,
    seed: options.SeedOption = None,
    config: options.ConfigOption = None,
    settings: options.SetOption = None,
    network: options.NetworkOption = None,
    as_json: options.JsonOption = False,
    trust: options.TrustOption = False,
) -> None:
    """Train a student on the soft targets of teachers.

    Example: instar distill digits --teacher runs/teacher --model mlp --arg widths=[16] --temperature 4 --out runs/small
    """
    given = only_given(
        temperature=temperature,
        objective=objective,
        combine=combine,
        targets=targets,
        transfer=transfer,
        transfer_rows=transfer_rows,
        reader=reader,
        views=views,
        num_views=num_views,
        start=start,
        phases=phases,
        epochs=epochs,
        seed=seed,
    )
    given |= parse_parts(teacher_arg, teacher_weights, teacher_reader, teacher_classes)
    shared = parse_shared(config, settings, network, trust)
    run = instar.distill(data, parse_teachers(teacher), parse_model(model, arg), out=out, **shared, **given)
    print_run(run, as_json)


def born_again(
    data: options.DataArgument = None,
    *,
    out: lineage_options.LineageOutOption = None,
    generations: lineage_options.GenerationsOption = None,
    model: options.ModelOption = None,
    arg: options.ArgOption = None,
    student: lineage_options.StudentOption = None,
    student_arg: lineage_options.StudentArgOption = None,
    objective: lineage_options.LaterObjectiveOption = None,
    stop_early: lineage_options.StopEarlyOption = False,
    controls: lineage_options.ControlsOption = None,
    distil_ensemble: lineage_options.DistilEnsembleOption = False,
    targets: options.TargetsOption = None,
    reader: options.ReaderOption = None,
    views: options.ViewsOption = None,
    num_views: options.NumViewsOption = None,
    epochs: options.EpochsOption = None,
    seed: options.SeedOption = None,
    jobs: options.JobsOption = None,
    config: options.ConfigOption = None,
    settings: options.SetOption = None,
    network: options.NetworkOption = None,
    as_json: options.JsonOption = False,
    trust: options.TrustOption = False,
) -> None:
    """Retrain a model on its own soft targets, in generations.

    Example: instar born-again digits --generations 3
    """
    given = only_given(
        out=out,
        generations=generations,
        student=parse_model(student, student_arg),
        objective=objective,
        controls=controls,
        targets=targets,
        reader=reader,
        views=views,
        num_views=num_views,
        epochs=epochs,
        seed=seed,
        jobs=jobs,
    )
    given |= {"stop_early": stop_early, "distil_ensemble": distil_ensemble}
    shared = parse_shared(config, settings, network, trust)
    lineage = instar.born_again(data, parse_model(model, arg), **shared, **given)
    print_result(lineage.as_dict(), lineage, as_json)


def tune(
    data: options.DataArgument = None,
    *,
    out: options.SearchOutOption,
    teacher: options.TeacherOption = None,
    teacher_arg: options.TeacherArgOption = None,
    teacher_weights: options.TeacherWeightsOption = None,
    teacher_reader: options.TeacherReaderOption = None,
    teacher_classes: options.TeacherClassesOption = None,
    model: options.ModelOption = None,
    arg: options.ArgOption = None,
    temperatures: options.TemperaturesOption = None,
    weights: options.WeightsOption = None,
    seeds: options.SearchSeedsOption = None,
    criterion: options.CriterionOption = None,
    combine: options.CombineOption = None,
    reader: options.ReaderOption = None,
    views: options.ViewsOption = None,
    num_views: options.NumViewsOption = None,
    epochs: options.EpochsOption = None,
    seed: options.SeedOption = None,
    jobs: options.JobsOption = None,
    config: options.ConfigOption = None,
    settings: options.SetOption = None,
    network: options.NetworkOption = None,
    as_json: options.JsonOption = False,
    trust: options.TrustOption = False,
) -> None:
    """Choose the temperature and the weight of labels; for labels that are numbers, the weight.

    Candidates are compared on the validation split by successive halving.

    Example: instar tune digits --teacher runs/teacher --model mlp --arg widths=[16] --epochs 10 --out runs/tune
    """
    given = only_given(
        temperatures=parse_numbers("--temperatures", temperatures),
        weights=parse_numbers("--weights", weights),
        seeds=seeds,
        criterion=criterion,
        combine=combine,
        reader=reader,
        views=views,
        num_views=num_views,
        epochs=epochs,
        seed=seed,
        jobs=jobs,
    )
    given |= parse_parts(teacher_arg, teacher_weights, teacher_reader, teacher_classes)
    shared = parse_shared(config, settings, network, trust)
    found = instar.tune(data, parse_teachers(teacher), parse_model(model, arg), out=out, **shared, **given)
    print_result(found.as_dict(), found, as_json)
