"""Teachers of the user's own by `package.module:Name`: a class of `instar.Teacher`, or a function that makes one."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import instar as package
from instar.errors import ConfigError
from instar.importing import TypedName
from instar.runs.run import Run
from instar.teachers import ForeignTeacher, as_teacher

TEACHERS = """
import torch
from torch import nn

import instar
from instar.targets import DenseTargets


class Nearest(instar.Teacher):
    def __init__(self, scale: float = 1.0):
        samples = instar.load_data("digits").train
        images, self.classes = samples.inputs().flatten(1), samples.source.classes
        self.means = scale * torch.stack([images[samples.labels == c].mean(0) for c in range(samples.num_classes)])

    def targets(self, batch):
        return DenseTargets(-torch.cdist(batch.inputs.flatten(1), self.means).square() / 256)

    def fingerprint(self):
        return f"nearest-{self.means.double().sum().item()!r}"


def make() -> Nearest:
    return Nearest()


def undeclared():
    return Nearest()


def forest():
    from sklearn.ensemble import RandomForestClassifier

    samples = instar.load_data("digits", subset=200).train
    return RandomForestClassifier(5, random_state=0).fit(samples.inputs().flatten(1), samples.labels)


class Both(Nearest, nn.Module):
    def __init__(self):
        nn.Module.__init__(self)
        Nearest.__init__(self)


def number() -> nn.Module:
    return 3


def path():
    return "runs/a"
"""

MLP = ["--model", "mlp", "--arg", "widths=[8]", "--epochs", "1", "--set", "data.subset=100"]


@pytest.fixture
def mine(write_module: Callable[[str, str], Path]) -> Path:
    """A folder with the module `my_teachers`, where the command is given."""
    return write_module("my_teachers", TEACHERS)


@pytest.mark.usefixtures("mine")
def test_a_typed_teacher_teaches_in_every_verb(instar: Callable[..., Any]) -> None:
    teacher = ["--teacher", "my_teachers:Nearest", "--teacher-arg", "scale=0.9"]
    text = "ForeignTeacher('my_teachers:Nearest', arguments={'scale': 0.9})"
    distill = ["distill", "digits", *MLP, *teacher, "--out", "student"]
    for _ in range(2):  # the second is complete
        assert instar(*distill)[0] == 0
    assert Run("student").config["teachers"] == [text]
    assert text in instar("inspect", "student")[1]
    code, _, err = instar(*[word.replace("0.9", "0.8") for word in distill])
    assert (code, "fingerprints.teacher was" in err) == (2, True)
    for command in (
        ["label", "digits", *teacher, "--set", "data.subset=100", "--out", "store"],
        ["tune", "digits", *MLP, *teacher, "--temperatures", "1", "--weights", "0,1", "--seeds", "2", "--out", "tune"],
        ["evaluate", "student", *teacher],
        ["evaluate", "my_teachers:Nearest", "--data", "digits"],
        ["distill", "digits", *MLP, *teacher, "--teacher-arg", "scale=0.9", "--teacher", "student", "--out", "no"],
        ["distill", "digits", *MLP, "--teacher", "my_teachers:make", "--teacher", "student", "--out", "two"],
        ["report", "."],
    ):
        code, out, err = instar(*command)
        assert code == (2 if command[-1] == "no" else 0), (command, err)
        assert "agreement" in out or command[:2] != ["evaluate", "student"]
    # a store outlives its teacher, which is made again where it is trusted
    sys.modules.pop("my_teachers")
    for trusted in ([], ["--trust"]):
        code, out, err = instar("targets", "verify", "store", "--rows", "4", *trusted)
        assert (code, "labelled again" in out, "allow this with --trust" in out) == (0, bool(trusted), not trusted), err
        assert ("my_teachers" in sys.modules) == bool(trusted)


@pytest.mark.usefixtures("mine")
def test_a_teacher_that_a_file_names_needs_trust(instar: Callable[..., Any]) -> None:
    Path("settings.yaml").write_text("teachers: ['my_teachers:make']")
    words = ["distill", "digits", *MLP, "--config", "settings.yaml", "--out", "run"]
    code, _, err = instar(*words)
    assert (code, "teacher 'my_teachers:make' is made by code from outside Instar" in err) == (2, True)
    assert "my_teachers" not in sys.modules
    assert instar(*words, "--trust")[0] == 0
    with pytest.raises(ConfigError, match=r"'my_teachers:undeclared' is not annotated to return a .*instar\.Teacher"):
        as_teacher("my_teachers:undeclared", trust=True)
    assert as_teacher(TypedName("my_teachers:undeclared"))


def test_it_is_the_teacher_that_was_made(mine: Path) -> None:
    sys.path.insert(0, str(mine))
    import my_teachers  # type: ignore[import-not-found]  # made above

    settings: dict[str, Any] = {"epochs": 1, "show": False}
    data, model = package.load_data("digits", subset=100), package.models.MLP([4])
    given = ("my_teachers:Nearest", "my_teachers:make", ForeignTeacher("my_teachers:Both"), my_teachers.Nearest())
    runs = [
        package.distill(data, teacher, model, out=f"run{number}", trust=True, **settings)
        for number, teacher in enumerate(given)
    ]
    assert len({run.weights.read_bytes() for run in runs}) == 1
    forest = package.distill(data, TypedName("my_teachers:forest"), model, out="forest", **settings)
    by_object = package.distill(data, my_teachers.forest(), model, out="object", **settings)
    assert forest.weights.read_bytes() == by_object.weights.read_bytes()


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("teacher", "problem"),
    [
        (("my_teachers:Nearest", {"scael": 1}), "teacher 'my_teachers:Nearest' has no argument 'scael'; did you mean"),
        (
            ("my_teachers:Nearest", {}, "net.pt"),
            "is a Nearest, which has weights, a way of reading and classes of its own",
        ),
        (("my_teachers:Nearest", {}, None, "Pixels(8)"), "leave those out, or return a torch.nn.Module"),
        (("my_teachers:number",), "must be a torch.nn.Module, an instar.Teacher or a fitted .* classifier, got int"),
        (("my_teachers:path",), "must be a torch.nn.Module, an instar.Teacher or a fitted .* classifier, got str"),
        (("my_teachers:torch",), "must be a class of torch.nn.Module or instar.Teacher or a function that returns one"),
        (("my_teachers:Neerest",), "teacher 'my_teachers:Neerest' cannot be imported"),
        (("os:system", {"command": "touch ran"}), "must be a class of torch.nn.Module or instar.Teacher or a function"),
    ],
)
def test_what_is_no_teacher_is_refused_in_a_sentence(teacher: tuple[Any, ...], problem: str) -> None:
    sys.path.insert(0, "")
    with pytest.raises(ConfigError, match=problem):
        as_teacher(ForeignTeacher(TypedName(teacher[0]), *teacher[1:]))
    assert not Path("ran").exists()
