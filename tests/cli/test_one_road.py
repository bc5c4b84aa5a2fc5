"""Every command is the function of the same name: the same arguments, the same defaults, and nothing of its own."""

import inspect
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import typer

import instar
from instar import cli
from instar.config import RunConfig, TrainingConfig
from instar.papers import run_paper

COMMANDS = typer.main.get_command(cli.app).commands
TARGETS, SPECIALISTS, PAPERS = (COMMANDS[group].commands for group in ("targets", "specialists", "papers"))

VERBS = {name: (getattr(instar, name), COMMANDS[name.replace("_", "-")]) for name in (
    *("born_again", "compare", "correct_bias", "demo", "distill", "ensemble", "evaluate", "export", "inspect", "label"),
    "born_again_tree",
    "layers",
    *("predict", "report", "synthesise", "train", "tune", "verify_data", "verify_loss"),
)} | {
    "targets_info": (instar.targets_info, TARGETS["info"]),
    "verify_targets": (instar.verify_targets, TARGETS["verify"]),
    "merge_targets": (instar.merge_targets, TARGETS["merge"]),
    "run_paper": (run_paper, PAPERS["run"]),
} | {
    f"specialists.{name}": (getattr(instar.specialists, name), SPECIALISTS[name])
    for name in ("cluster", "combine", "evaluate", "train")
}  # fmt: skip

WITHOUT_A_COMMAND = {
    "load": "it returns a module",
    "predict_proba": "it returns an array of all probabilities; predict shows the largest",
    "load_data": "it returns data; --set data.NAME=VALUE selects them",
    "specialists.plan": "it returns what train does, for who wants to run it elsewhere",
}
"""Public functions that are no command, and why."""

OF_THE_COMMAND = {
    "as_json": "Python has the result itself",
    "arg": "in Python an argument stands in the model: MLP([64]), or {'name': 'mlp', 'arguments': {'widths': [64]}}",
    "student_arg": "the same, of the student",
    "epochs": "a setting of the training, which functions take by its name",
    "reader": "a setting of a run, which functions take by its name",
    **dict.fromkeys(("predictions", "values", "column", "id_column"), "parts of instar.GivenPredictions, a teacher"),
    "teacher_arg": "teacher_arguments, a mapping, which functions take by its name",
    "teacher_weights": "which functions take by its name, beside teacher_arguments",
    "teacher_reader": "which functions take by its name, beside teacher_arguments",
    "teacher_classes": "which functions take by its name, beside teacher_arguments",
}
"""Flags that are no parameter, and why."""

OF_THE_FUNCTION = {
    "show": "progress goes to stderr, which a shell redirects",
    "store": "--set store.NAME=VALUE",
}
"""Parameters that are no flag, and why."""

WRITTEN_AS_TEXT = {"temperatures", "weights", "jobs", "clusters"}


def flags_of(command: Any) -> dict[str, Any]:
    return {flag.name: flag for flag in command.params}


def test_every_public_function_is_a_command_or_says_why_not() -> None:
    public = {name: getattr(instar, name) for name in instar.__all__}
    public |= {f"specialists.{name}": getattr(instar.specialists, name) for name in instar.specialists.__all__}
    functions = {name for name, thing in public.items() if inspect.isfunction(thing)}
    assert functions == VERBS.keys() - {"run_paper"} | WITHOUT_A_COMMAND.keys()
    groups = (COMMANDS, TARGETS, SPECIALISTS, PAPERS)
    commands = {id(one) for group in groups for one in group.values() if not hasattr(one, "commands")}
    assert commands - {id(command) for _, command in VERBS.values()} == {id(PAPERS["list"])}


@pytest.mark.parametrize("verb", VERBS)
def test_a_command_takes_what_its_function_takes(verb: str) -> None:
    function, command = VERBS[verb]
    parameters = inspect.signature(function).parameters
    settings = next((name for name, each in parameters.items() if each.kind is each.VAR_KEYWORD), None)
    taken = parameters.keys() - ({settings} if settings else set())
    flags = flags_of(command).keys() - {"help"}
    assert flags - taken <= OF_THE_COMMAND.keys()
    assert taken - flags <= OF_THE_FUNCTION.keys()
    assert "epochs" not in flags or settings
    named = [name for name, each in parameters.items() if each.kind is each.POSITIONAL_OR_KEYWORD]
    subjects = [name for name in named if name in ("data", "teacher", "model")]
    assert subjects == sorted(subjects, key=["data", "teacher", "model"].index)


@pytest.mark.parametrize("verb", VERBS)
def test_defaults_stand_once(verb: str) -> None:
    function, command = VERBS[verb]
    parameters = inspect.signature(function).parameters
    for name, flag in flags_of(command).items():
        if not flag.required and flag.nargs != -1:
            assert flag.default in (None, False, []), f"{verb} {name}"
        shown = re.search(r"\[default: (.*)\]$", flag.help or "")
        if name in parameters and shown:
            default = parameters[name].default
            expected = ",".join(f"{one:g}" for one in default) if isinstance(default, tuple) else str(default)
            assert shown[1] == expected, f"{verb} {name}"
    taken_from_config = RunConfig.model_fields.keys() | TrainingConfig.model_fields.keys()
    if "config" in parameters:
        own = {"batch_size"} if verb == "label" else set()
        for name in parameters.keys() & taken_from_config - own:
            assert parameters[name].default is None, f"{verb} {name}: its default is that of RunConfig"


def test_flags_are_declared_once() -> None:
    declared: list[tuple[str, str]] = []
    for name, option in (
        *vars(cli.options).items(),
        *vars(cli.lineage_options).items(),
        *vars(cli.paper_options).items(),
        *vars(cli.specialist_options).items(),
        *vars(cli.transfer_options).items(),
        *vars(cli.tree_options).items(),
    ):
        if name.endswith(("Option", "Argument")):
            (info,) = option.__metadata__
            declared.append((" ".join(info.param_decls or ()), info.help))
    assert [one for one, times in Counter(declared).items() if times > 1] == []
    assert [text for text, times in Counter(text for _, text in declared).items() if times > 1] == []
    for _, command in VERBS.values():
        for flag in command.params:
            assert flag.name == "help" or flag.help in {text for _, text in declared}, flag.name


def test_an_ensemble_is_made_by_a_command(instar: Callable[..., Any], tmp_path: Any) -> None:
    small = ["--model", "mlp", "--arg", "widths=[4]", "--epochs", "1"]
    members = [tmp_path / "0", tmp_path / "1"]
    for seed, member in enumerate(members):
        assert instar("train", "digits", *small, "--seed", seed, "--out", member)[0] == 0
    both = tmp_path / "both"
    code, out, err = instar("ensemble", *members, "--combine", "geometric", "--out", both)
    assert code == 0, err
    assert out.startswith(f"{both}\n  errors ")
    student = ["distill", "digits", "--teacher", both, *small, "--start", members[0], "--out", tmp_path / "student"]
    code, _, err = instar(*student)
    assert code == 0, err
    code, _, err = instar("ensemble", members[0], "digits", "--out", tmp_path / "no")
    assert (code, err.count("\n")) == (2, 1)


NETWORKS = """
from torch import nn
def heads(count: int = 4) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, count), nn.Linear(count, 10))
"""


def test_a_network_is_given_again_wherever_a_run_folder_needs_it(
    instar: Callable[..., Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs of modules that no description makes again, on every road that reads them."""
    from torch import nn

    from instar.procedures.train import train

    def module() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.Linear(4, 10))

    (tmp_path / "networks_of_mine.py").write_text(NETWORKS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("a", "b"):
        train("digits", module(), out=name, epochs=1, show=False)
    train("digits", {"name": "mlp", "arguments": {"widths": [4]}}, out="c", epochs=1, show=False)
    given = ["--network", "networks_of_mine:heads", "--trust"]
    student = ["digits", "--model", "mlp", "--arg", "widths=[4]", "--epochs", "1"]
    commands: dict[str, list[str]] = {
        "evaluate": ["a"],
        "ensemble": ["a", "b", "c", "--out", "ensemble"],
        "distill": [*student, "--teacher", "a", "--out", "one"],
        "distill several": [*student, "--teacher", "a", "--teacher", "c", "--out", "two"],
        "distill ensemble": [*student, "--teacher", "ensemble", "--out", "three"],
        "label": ["digits", "--teacher", "a", "--out", "store"],
        "targets verify": ["store", "--rows", "4"],
        "specialists cluster": ["a", "--clusters", "2"],
        "specialists train": ["a", "--clusters", "2", "--way", "full", "--epochs", "1", "--out", "experts"],
        "inspect": ["a"],
        "correct-bias": ["a", "--class", "3", "--offset", "1", "--out", "corrected"],
    }
    for name, words in commands.items():
        verb = name.split()[:2] if name.startswith(("targets", "specialists")) else name.split()[:1]
        if name != "inspect":
            code, _, err = instar(*verb, *words, "--trust")
            assert (code, "give network= (--network)" in err) == (2, True), name
        code, _, err = instar(*verb, *words, *given)
        assert code == 0, f"{name}: {err}"
    both = ["evaluate", "c", "--teacher", "a", "--trust"]
    assert instar(*both)[0] == 2
    assert instar(*both, "--teacher-network", "networks_of_mine:heads")[0] == 0
    fresh = ["train", "digits", "--model", "networks_of_mine:heads", "--epochs", "1", "--out", "started"]
    start = [*fresh, "--start", "a"]
    assert instar(*start, "--trust")[0] == 2
    code, _, err = instar(*start, *given)
    assert code == 0, err
    code, _, err = instar(*fresh[:-1], "no", *given)
    assert (code, err) == (
        2,
        "instar: network= needs start=, because it is the network of that run folder; leave it out.\n",
    )


@pytest.mark.parametrize("verb", [verb for verb in VERBS if "combine" in flags_of(VERBS[verb][1])])
def test_help_says_how_teachers_are_combined_by_default(verb: str) -> None:
    function, command = VERBS[verb]
    default = inspect.signature(function).parameters["combine"].default or RunConfig.model_fields["combine"].default
    assert re.search(rf"\b{default} \([^)]*; default\)", flags_of(command)["combine"].help or "")
