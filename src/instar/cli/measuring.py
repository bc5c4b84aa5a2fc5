"""`evaluate`, `compare`, `ensemble`, `correct-bias`, `report` and `verify-loss`."""

from __future__ import annotations

import instar
from instar.cli import options
from instar.cli.output import print_metrics, print_result, print_run
from instar.cli.settings import only_given, parse_numbers, parse_parts, parse_settings, parse_teachers


def evaluate(
    subject: options.SubjectArgument,
    data: options.OtherDataOption = None,
    split: options.SplitOption = None,
    settings: options.SetOption = None,
    teacher: options.OneTeacherOption = None,
    teacher_arg: options.TeacherArgOption = None,
    teacher_weights: options.TeacherWeightsOption = None,
    teacher_reader: options.TeacherReaderOption = None,
    teacher_classes: options.TeacherClassesOption = None,
    as_json: options.JsonOption = False,
    trust: options.TrustOption = False,
    network: options.NetworkOption = None,
    teacher_network: options.TeacherNetworkOption = None,
) -> None:
    """Evaluate a run, a target store, or a file of a teacher.

    Prints errors with a 95% interval, NLL, calibration, and agreement with a teacher.
    """
    named = parse_teachers(None if teacher is None else [teacher])
    given = only_given(split=split, teacher=named, network=network, teacher_network=teacher_network)
    given |= {"settings": parse_settings(settings)}
    given |= parse_parts(teacher_arg, teacher_weights, teacher_reader, teacher_classes)
    found = instar.evaluate(subject, data, trust=trust, **given)
    print_metrics(found, as_json, title=f"{subject} on {split or 'test'}")


def compare(
    methods: options.MethodsArgument,
    resamples: options.ResamplesOption = None,
    seed: options.BootstrapSeedOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Compare methods with a reference.

    Prints differences over test samples and over seeds, with intervals and tests.

    Example: instar compare runs/labels runs/distilled
    """
    found = instar.compare(*methods, **only_given(resamples=resamples, seed=seed))
    print_result(found.as_dict(), found, as_json)


def ensemble(
    members: options.MembersArgument,
    out: options.OutOption,
    combine: options.MembersCombineOption = None,
    data: options.OtherDataOption = None,
    as_json: options.JsonOption = False,
    trust: options.TrustOption = False,
    network: options.NetworkOption = None,
) -> None:
    """Combine complete runs into an ensemble.

    The ensemble is a run folder, and a teacher like any other.

    Example: instar ensemble runs/a runs/b runs/c --combine geometric --out runs/together
    """
    run = instar.ensemble(members, data, out=out, network=network, trust=trust, **only_given(combine=combine))
    print_run(run, as_json)


def correct_bias(
    run: options.RunArgument,
    classes: options.ClassOption,
    out: options.CorrectedOutOption,
    rule: options.RuleOption = None,
    offset: options.OffsetOption = None,
    prior: options.PriorOption = None,
    data: options.OtherDataOption = None,
    as_json: options.JsonOption = False,
    trust: options.TrustOption = False,
    network: options.NetworkOption = None,
) -> None:
    """Correct the biases of classes that training lacked.

    Shifts the logits of classes that the student's transfer set lacked or had too often.
    """
    given = only_given(rule=rule, offset=offset, prior=parse_numbers("--prior", prior), data=data, network=network)
    print_run(instar.correct_bias(run, classes, out=out, trust=trust, **given), as_json)


def report(
    runs: options.RunsArgument, out: options.ReportOutOption = None, as_json: options.JsonOption = False
) -> None:
    """Write an HTML report about folders of runs."""
    path = instar.report(runs, out)
    print_result({"report": str(path)}, path, as_json)


def verify_loss(
    function: options.LossArgument,
    arguments: options.LossArgumentsOption = None,
    temperature: options.LossTemperatureOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Say by experiment what a distillation loss of any code does.

    Asks for its form, T^2, sums and means, padding, and the edges of numbers.

    Example: instar verify-loss losses:kd_loss --arguments student,teacher,temperature
    """
    found = instar.verify_loss(function, **only_given(arguments=arguments, temperature=temperature))
    print_result(found.as_dict(), found, as_json)
