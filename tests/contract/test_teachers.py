"""What every teacher keeps to. A new teacher is one new row in CASES."""

import tempfile

import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from torch import nn

import instar.teachers
from instar.compute.execution import Execution
from instar.data import Loader, load_data
from instar.models import CNN, MLP, Normalised, statistics
from instar.procedures.label import label
from instar.teachers import (
    Classifier,
    Ensemble,
    GivenPredictions,
    Module,
    Remembered,
    Specialist,
    Specialists,
    Stored,
    Teacher,
    as_teacher,
)

DIGITS = load_data("digits", subset=60)
SHAPE = {"input_shape": (1, 8, 8), "num_classes": 10}
LOADER = Loader(DIGITS.train, 16, seed=0)
FOLDERS = []  # go when the tests end


def network(seed, kind=MLP):
    torch.manual_seed(seed)
    made = MLP([8], dropout=0.5, **SHAPE) if kind is MLP else CNN([4], 8, 0.5, **SHAPE)
    return Normalised(made, *statistics(DIGITS.train))


def forest():
    inputs = DIGITS.train.inputs().flatten(1).numpy()
    return RandomForestClassifier(5, random_state=0).fit(inputs, DIGITS.train.labels.numpy())


def stored(teacher):
    FOLDERS.append(tempfile.TemporaryDirectory(prefix="instar-tests-", ignore_cleanup_errors=True))
    return Stored(label(DIGITS, teacher, out=f"{FOLDERS[-1].name}/store", dtype="float32", show=False))


def specialist(seed, classes):
    torch.manual_seed(seed)
    made = MLP([8], input_shape=(1, 8, 8), num_classes=len(classes) + 1)
    return Specialist(Module(Normalised(made, *statistics(DIGITS.train))), classes)


CASES = {
    "plain module": lambda: Module(nn.Sequential(nn.Flatten(), nn.Linear(64, 10))),
    "module": lambda: Module(network(0)),
    "module with batch normalisation": lambda: Module(network(0, CNN)),
    "classifier": lambda: Classifier(forest()),
    "geometric ensemble": lambda: Ensemble([network(0), network(1)], weights=[3, 1]),
    "arithmetic ensemble": lambda: Ensemble([network(0), network(1)], combine="arithmetic", weights=[3, 1]),
    "mixed ensemble": lambda: Ensemble([network(0), forest()], combine="arithmetic"),
    "nested ensemble": lambda: Ensemble([Ensemble([network(0), network(1)], combine="arithmetic"), network(2)]),
    "specialists": lambda: Specialists(network(0), [specialist(1, (0, 3, 8)), specialist(2, (3, 5))], top=3),
    "remembered": lambda: Remembered(Module(network(0)), LOADER),
    "stored": lambda: stored(network(0)),
    "given predictions": lambda: GivenPredictions(torch.eye(10)[DIGITS.train.source.labels] - 1).match(DIGITS.splits),
    "remembered mixture": lambda: Remembered(Ensemble([network(0), network(1)], combine="arithmetic"), LOADER),
}


@pytest.fixture(params=CASES)
def teacher(request):
    return CASES[request.param]()


def test_every_teacher_is_listed():
    exported = [getattr(instar.teachers, name) for name in instar.teachers.__all__]
    kinds = {thing for thing in exported if isinstance(thing, type) and issubclass(thing, Teacher)} - {Teacher}
    assert kinds == {type(make()) for make in CASES.values()}


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 50.0])
def test_answers_with_probabilities_at_any_temperature(teacher, temperature):
    found = teacher.targets(LOADER.batch(0)).log_probs(temperature)
    assert found.shape == (len(LOADER.batch(0)), 10)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.exp().sum(-1), torch.ones(len(found)))


def test_logits_are_log_probabilities_up_to_a_constant(teacher):
    targets = teacher.targets(LOADER.batch(0))
    torch.testing.assert_close(torch.log_softmax(targets.logits(), -1), targets.log_probs(1.0))
    assert targets.num_classes == 10


def test_is_deterministic_and_carries_no_gradient(teacher):
    batch = LOADER.batch(0)
    first, again = teacher.targets(batch).log_probs(2.0), teacher.targets(batch).log_probs(2.0)
    assert torch.equal(first, again)
    assert not first.requires_grad
    assert not first.is_inference(), "autograd must be able to save it"


def test_answers_about_a_sample_do_not_depend_on_the_rest_of_the_batch(teacher):
    batch = LOADER.batch(1)
    whole = teacher.targets(batch).log_probs(3.0)
    torch.testing.assert_close(teacher.targets(batch.part(2, 5)).log_probs(3.0), whole[2:5])
    rows = torch.tensor([4, 0])
    torch.testing.assert_close(teacher.targets(batch).rows(rows).log_probs(3.0), whole[rows])


def test_answers_join_in_order(teacher):
    first, second = teacher.targets(LOADER.batch(0)), teacher.targets(LOADER.batch(1))
    expected = torch.cat([first.log_probs(2.0), second.log_probs(2.0)])
    torch.testing.assert_close(first.joined([second]).log_probs(2.0), expected)
    torch.testing.assert_close(first.joined([]).log_probs(2.0), first.log_probs(2.0))


def test_fingerprint_is_kept_by_asking(teacher):
    before = teacher.fingerprint()
    teacher.prepare(Execution(torch.device("cpu"), "float32"))
    teacher.targets(LOADER.batch(0))
    assert teacher.fingerprint() == before


@pytest.mark.parametrize("name", CASES)
def test_fingerprint_is_that_of_an_equal_teacher(name):
    torch.manual_seed(0)
    first = CASES[name]().fingerprint()
    torch.manual_seed(0)
    assert CASES[name]().fingerprint() == first


def test_fingerprints_differ():
    torch.manual_seed(0)
    remembered = {"remembered", "remembered mixture"}  # have those of their teachers
    found = [make().fingerprint() for name, make in CASES.items() if name not in remembered]
    assert len(set(found)) == len(found)


def test_asking_moves_nothing_inside(teacher):
    for module in teacher.modules():
        module.train()
    before = [{k: v.clone() for k, v in m.state_dict().items()} for m in teacher.modules()]
    teacher.targets(LOADER.batch(0))
    for module, values in zip(teacher.modules(), before, strict=True):
        assert module.training
        assert all(parameter.grad is None for parameter in module.parameters())
        torch.testing.assert_close(dict(module.state_dict()), values, rtol=0, atol=0)


def test_is_a_teacher_already(teacher):
    assert as_teacher(teacher) is teacher
