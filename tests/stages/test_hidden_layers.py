"""Runs whose terms compare hidden layers that are not there end in a sentence, before there is a run folder."""

import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from torch import nn

from instar.data import load_data
from instar.errors import ConfigError, MismatchError
from instar.models import CNN, MLP, ResNet, WideResNet
from instar.procedures.distill import distill
from instar.procedures.ensemble import ensemble
from instar.procedures.label import label
from instar.procedures.layers import layers as list_layers
from instar.procedures.train import train
from instar.teachers import Module, Teacher

DIGITS = load_data("digits", subset=60)
FEW = {"epochs": 1, "batch_size": 20}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return train(DIGITS, WideResNet(10, 1), out=tmp_path_factory.mktemp("teachers") / "wide", **FEW)


def refused(tmp_path, teacher, sentence, student=None, objective="AttentionTransfer()", kind=MismatchError, **settings):
    student = WideResNet(10, 1) if student is None else student
    with pytest.raises(kind, match=sentence):
        distill(DIGITS, teacher, student, out=tmp_path / "run", objective=objective, **FEW | settings)
    assert not (tmp_path / "run").exists()


class Constant(Teacher):
    def targets(self, batch):
        return Module(nn.Sequential(nn.Flatten(), nn.Linear(64, 10))).targets(batch)

    def fingerprint(self):
        return "constant"


class Doubled(Module):
    def targets(self, batch):
        return type(super().targets(batch))(2 * super().targets(batch).logits())


def test_teachers_without_layers(tmp_path, teacher):
    store = label(DIGITS, teacher, out=tmp_path / "store")
    refused(tmp_path, store, r"AttentionTransfer compares .* the teacher Stored keeps predictions alone")
    both = ensemble([teacher.path, teacher.path], out=tmp_path / "both")
    refused(tmp_path, both, r"the teacher Ensemble has those of several networks; give the one")
    forest = RandomForestClassifier(3, random_state=0)
    forest.fit(DIGITS.train.inputs().flatten(1).numpy(), DIGITS.train.labels.numpy())
    refused(tmp_path, forest, r"the classifier RandomForestClassifier has none")
    refused(tmp_path, Constant(), r"the teacher Constant has none")
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    refused(tmp_path, Doubled(network), r"the teacher Doubled has none")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"targets": "memory"}, "targets 'memory' keep none; set targets to online or store"),
        ({"compile": True}, "compiled code has none; set training.compile to false"),
        ({"gradients_every": 1}, "training.gradients_every splits gradients of logits alone; set it to 0"),
    ],
)
def test_settings_that_leave_no_layers(tmp_path, teacher, settings, sentence):
    refused(tmp_path, teacher, sentence, kind=ConfigError, **settings)


@pytest.mark.parametrize(
    ("student", "pairs", "sentence"),
    [
        (CNN([4], 8), "'stages'", "needs networks with stages, and the student has none"),
        (None, "{'stage4': 'stage3'}", "the student has no layer 'stage4'; the nearest are 'stage3'"),
        (None, "{'stage3': 'stag3'}", "the teacher has no layer 'stag3'; the nearest are 'stage3'"),
        (None, "{'stage?': 'stage1'}", "which are 3 layers of the student .*'stage3'.* and 1 of the teacher"),
        (None, "{'stage?': 'stage?', 'stage1': 'stage1'}", "pairs the student's layer 'stage1' twice"),
        (None, "{'stage2': 'stage1'}", "'stage2' with the teacher's 'stage1': they have 4 x 4 and 8 x 8 places"),
        (None, "{'pooled': 'pooled'}", r"it needs images \[channels, height, width\], got \[64\] and \[64\]"),
        (ResNet(8, 4), "{'blocks': 'stage1'}", "the student does not call its layer 'blocks' in a forward pass"),
    ],
)
def test_layers_that_do_not_fit(tmp_path, teacher, student, pairs, sentence):
    refused(tmp_path, teacher, sentence, student, f"SoftTargets(4) + AttentionTransfer({pairs})")


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_compiled_layer(tmp_path, teacher):
    scripted = torch.jit.script(nn.Conv2d(1, 4, 3))
    student = nn.Sequential(scripted, nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
    refused(tmp_path, teacher, "'0' of the student is compiled", student, "AttentionTransfer({'1': 'stage1'})")


def test_a_term_of_layers_needs_a_teacher(tmp_path):
    with pytest.raises(MismatchError, match="AttentionTransfer needs a teacher"):
        train(DIGITS, MLP([4]), out=tmp_path / "run", objective="HardLabels() + AttentionTransfer()", **FEW)


def test_layers_of_a_teacher_whose_classes_have_another_order(tmp_path, teacher):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
    reordered = Module(network, classes=tuple(map(str, reversed(range(10)))))
    student = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 10))
    objective = "SoftTargets(4) + AttentionTransfer({'1': '1'})"
    run = distill(DIGITS, reordered, student, out=tmp_path / "run", objective=objective, **FEW)
    assert run.history()[0]["attention_transfer"] > 0


class Narrowing(nn.Module):
    """Reads a narrower part of its inputs after a few calls, as a network that depends on its batch."""

    def __init__(self, calls):
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.last, self.calls = nn.Conv2d(1, 4, 3), nn.Linear(4, 10), calls

    def forward(self, inputs):
        self.calls -= 1
        return self.last(self.inner(inputs if self.calls > 0 else inputs[..., :7]).mean((2, 3)))


@pytest.mark.parametrize(
    ("term", "sentence"),
    [
        (
            "Contrastive({'inner': 'inner'}, negatives=9)",
            r"the shape \[4, 6, 6\] of the student's layer 'inner', which",
        ),
        ("Hints({'inner': 'inner'})", r"their shapes are \[4, 6, 5\] and \[4, 6, 6\]"),
    ],
)
def test_a_layer_that_returns_another_shape_in_another_batch(tmp_path, term, sentence):
    with pytest.raises(MismatchError, match=sentence):
        distill(
            DIGITS,
            Narrowing(99),
            Narrowing(7),
            out=tmp_path / "run",
            objective=f"SoftTargets(2) + {term}",
            epochs=4,
            batch_size=20,
        )
    assert not (tmp_path / "run" / "result.json").exists()


class Beside(nn.Module):
    """A network with a layer 'inner' that returns something of the hidden units, and on which no logit depends."""

    class Inner(nn.Module):
        def __init__(self, change):
            super().__init__()
            self.forward = change

    def __init__(self, change=lambda hidden: hidden):
        super().__init__()
        self.first, self.inner, self.last = nn.Linear(64, 4), self.Inner(change), nn.Linear(4, 10)

    def forward(self, inputs):
        hidden = self.first(inputs.flatten(1))
        self.inner(hidden)
        return self.last(hidden)


def first_row_of_many(hidden):
    return hidden if len(hidden) < 3 else hidden[:1]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda hidden: hidden.argmax(1, keepdim=True), r"returns \[2, 1\] int64 for 2 samples; a term needs a row of"),
        (lambda hidden: torch.complex(hidden, hidden), r"returns \[2, 4\] complex64 for 2 samples"),
        (lambda hidden: hidden.sum(1), r"returns \[2\] float32 for 2 samples"),
        (lambda hidden: hidden[:, :0], r"returns \[2, 0\] float32 for 2 samples"),
        (lambda hidden: hidden.detach().to_sparse(), r"returns \[2, 4\] sparse_coo for 2 samples"),
        # compared with each row of the other network, it would give a wrong number
        (first_row_of_many, r"returns \[1, 4\] float32 for 20 samples"),
    ],
)
def test_a_layer_without_a_row_of_numbers_for_each_sample(tmp_path, change, sentence):
    for who, teacher, student in (("teacher", Beside(change), Beside()), ("student", Beside(), Beside(change))):
        with pytest.raises(MismatchError, match=f"the layer 'inner' of the {who} {sentence}"):
            distill(
                DIGITS,
                teacher,
                student,
                out=tmp_path / who,
                objective="SoftTargets() + Hints({'inner': 'inner'})",
                **FEW,
            )


def test_a_term_from_which_no_gradient_reaches_the_student(tmp_path):
    frozen, objective = Beside(), "SoftTargets() + {} * Hints({{'inner': 'inner'}})"
    frozen.first.requires_grad_(False)
    for name, student in (("detached", Beside(torch.Tensor.detach)), ("frozen", frozen)):
        with pytest.raises(MismatchError, match=r"Hints cannot teach the student, because no gradient .* 'inner'"):
            distill(DIGITS, Beside(), student, out=tmp_path / name, objective=objective.format(1), **FEW)
    run = distill(DIGITS, Beside(), frozen, out=tmp_path / "watched", objective=objective.format(0), **FEW)
    assert run.history()[0]["hints"] > 0


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("resnett", "'resnett' is no run folder, and no family of models; did you mean 'resnet'"),
        ("{folder}", "has no layers, because it is no run folder of a network; give one, or a family"),
        ({"name": "{teacher}", "arguments": {"depth": 3}}, "is a run folder, which has its own arguments"),
        ("resnet", r"need data \(--data\), which give its shapes"),
    ],
)
def test_what_has_no_layers_is_told_before_data_are_asked_for(tmp_path, teacher, model, sentence):
    places = {"{folder}": str(tmp_path), "{teacher}": str(teacher.path)}
    given = {**model, "name": str(teacher.path)} if isinstance(model, dict) else places.get(model, model)
    with pytest.raises(ConfigError, match=sentence):
        list_layers(given)
