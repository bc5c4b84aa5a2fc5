"""BAN-ResNets in training: they copy and freeze layers of a teacher, and refuse a teacher without such layers."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from instar.config import RunConfig, validate
from instar.data import load_data
from instar.errors import MismatchError
from instar.models import CNN, BANResNet, DenseNet, load_model
from instar.procedures.distill import distill
from instar.procedures.train import train
from instar.runs.files import read_tensors
from instar.runs.run import Run
from instar.stages.components import GivenObjects, resolve_components
from instar.stages.preparation import prepare

DIGITS = load_data("digits", subset=60)
SHAPE = {"input_shape": (1, 8, 8), "num_classes": 10}
COPIED = {"stem.weight", "classifier.weight", "classifier.bias"}
TEACHER = DenseNet(units=[1, 1], growth=2, third_transition=True)
STUDENT = BANResNet(1, 0.5, stem=4, widths=TEACHER.widths)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return train(DIGITS, TEACHER, out=tmp_path_factory.mktemp("ban") / "teacher", epochs=1)


@pytest.fixture(scope="module")
def student(teacher):
    return distill(DIGITS, teacher, STUDENT, out=teacher.path.parent / "student", epochs=1, ema=0.9)


def test_copied_layers_stay_bitwise_equal_and_the_others_learn(teacher, student):
    config = validate(RunConfig, student.config)
    components = resolve_components(config, GivenObjects(DIGITS), trust=False)
    begun = prepare(components, trust=False, show=False).initial.model.network
    given, start, found = (net.state_dict() for net in (teacher.model.network, begun, student.model.network))
    frozen = {name for name, p in begun.named_parameters() if not p.requires_grad}
    assert frozen == COPIED
    assert all(torch.equal(given[name], start[name]) for name in COPIED)
    assert all(torch.equal(given[name], found[name]) for name in COPIED)
    learnt = {name for name, p in begun.named_parameters() if p.requires_grad}
    assert all(not torch.equal(start[name], found[name]) for name in learnt)


def test_weights_beside_the_copied_ones_depend_on_the_seed_alone(teacher, student):
    torch.manual_seed(0)
    first = BANResNet(**STUDENT.arguments, **SHAPE)
    torch.manual_seed(0)
    second = BANResNet(**STUDENT.arguments, **SHAPE)
    second.adopt(student.model.network)  # a later generation has the layers of the DenseNet too
    differing = {n for n, v in first.state_dict().items() if not torch.equal(v, second.state_dict()[n])}
    assert differing == COPIED
    assert torch.equal(second.stem.weight, teacher.model.network.stem.weight)


def test_a_run_folder_gives_back_the_network_and_counts_every_parameter(student):
    again = load_model(Run(student.path))
    logits = read_tensors(student.path / "predictions.safetensors")[0]["test.logits"]
    with torch.no_grad():
        torch.testing.assert_close(again(DIGITS.test.inputs()), logits)
    size = sum(p.numel() for p in BANResNet(**STUDENT.arguments, **SHAPE).parameters())
    assert student.result["parameters"] == size


def densenet(growth=2, input_shape=(1, 8, 8), num_classes=10):
    return DenseNet(
        units=[1, 1], growth=growth, third_transition=True, input_shape=input_shape, num_classes=num_classes
    )


def test_teachers_that_have_no_such_layers_are_refused(teacher, tmp_path):
    def attempt(teacher):
        return distill(DIGITS, teacher, STUDENT, out=tmp_path / "run", epochs=1)

    forest = LogisticRegression().fit(DIGITS.train.inputs().flatten(1), DIGITS.train.labels)
    for other, message in [
        (CNN([4], 8, **SHAPE), "copies layers of a DenseNet teacher, but the teacher is a CNN"),
        (densenet(growth=4), r"widths of its teacher, stem=8 and widths=\[6, 5\]; got 4 and \[3, 2\]"),
        (
            densenet(num_classes=7),
            r"inputs and classes of its teacher; a copied layer has shape \[10, 2\] in .* \[7, 2\] in",
        ),
        (densenet(input_shape=(3, 8, 8)), r"a copied layer has shape \[4, 1, 3, 3\] in .* \[4, 3, 3, 3\] in"),
        ([teacher.path, teacher.path], "must be one network; it has 2 networks"),
        (forest, "must be one network; it has 0 networks"),
    ]:
        with pytest.raises(MismatchError, match=message):
            attempt(other)
    with pytest.raises(MismatchError, match="must be one network; it is missing"):
        train(DIGITS, STUDENT, out=tmp_path / "run", epochs=1)
    assert not (tmp_path / "run").exists()
