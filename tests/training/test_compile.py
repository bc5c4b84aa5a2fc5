"""A compiled run is the plain one up to rounding, and resumes bit for bit."""

from functools import partial

import pytest
import torch

from instar.compute.compiler import require_compiler
from instar.compute.execution import Compiled
from instar.data import load_data
from instar.errors import ConfigError
from instar.models import CNN, MLP, Normalised
from instar.procedures.distill import distill
from instar.procedures.train import train

# torch's compiler imports what torch has deprecated
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
DIGITS = load_data("digits", subset=100)
SETTINGS = {
    "epochs": 2,
    "batch_size": 30,
    "optimiser": "sgd",  # AdamW divides by the gradient's own size, and so makes rounding errors as large as steps
    "momentum": 0.9,
    "learning_rate": 0.02,
    "log_every": 1,
    "checkpoint_seconds": 0,
}


@pytest.fixture(scope="module")
def compiler():
    try:
        require_compiler(torch.device("cpu"))
    except ConfigError as error:
        pytest.skip(f"there is no compiler: {error}")


class Counting:
    """Stands for torch.compile: notes the sizes of the batches that reach it."""

    def __init__(self):
        self.sizes, self.kwargs = [], []

    def __call__(self, function, **kwargs):
        self.kwargs.append(kwargs)

        def called(inputs):
            self.sizes.append(len(inputs))
            return function(inputs)

        return called


def test_only_full_batches_of_student_and_teacher_are_compiled(tmp_path, monkeypatch):
    teacher, counting = train(DIGITS, MLP([4]), out=tmp_path / "teacher", epochs=1), Counting()
    monkeypatch.setattr(torch, "compile", counting)
    distill(DIGITS, teacher, MLP([4]), out=tmp_path / "run", compile=True, **SETTINGS)
    assert counting.sizes[0] == 2, "the attempt before the first step"
    assert counting.sizes[1:] == [30] * 2 * 2 * 2  # of 30, 30, 20 and 20; teacher and student; epochs
    assert all(kwargs == {"dynamic": False} for kwargs in counting.kwargs)


@pytest.mark.usefixtures("compiler")
def test_a_compiled_run_is_the_plain_one_and_resumes_bit_for_bit(tmp_path, stop_before):
    teacher = train(DIGITS, CNN([4], 8), out=tmp_path / "teacher", epochs=1)
    settings = SETTINGS | {"views": "Shift(1)"}

    def run(folder, **more):
        return distill(DIGITS, teacher, CNN([4], 8), out=tmp_path / folder, **settings | more)

    plain, straight = run("plain"), run("straight", compile=True)
    expected, found = plain.model.state_dict(), straight.model.state_dict()
    assert expected.keys() == found.keys()
    for name, value in expected.items():  # statistics of batch normalisation and their counter among them
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-5)
    with pytest.raises(stop_before(3)):
        run("stopped", compile=True)
    stopped = run("stopped", compile=True).model.state_dict()
    assert all(torch.equal(stopped[name], value) for name, value in found.items())


def test_without_a_compiler_a_sentence_says_so_before_the_folder_is_made(tmp_path, monkeypatch):
    def broken(*arguments, **named):
        raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found\n\nSet TORCHDYNAMO_VERBOSE=1")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(ConfigError, match=r"compile needs a C\+\+ compiler .* found; install what is missing") as error:
        train(DIGITS, MLP([4]), out=tmp_path / "run", compile=True)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_networks_do_not_share_the_few_variants_that_torch_keeps(monkeypatch):
    made = []

    def backend(graph, inputs):
        made.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    for width in range(1, 11):  # torch keeps eight
        network = Normalised(MLP([width], input_shape=(1, 8, 8), num_classes=10), torch.zeros(1), torch.ones(1))
        inputs = torch.rand(3, 1, 8, 8)
        torch.testing.assert_close(Compiled(network, {3})(inputs), network(inputs))
    assert len(made) == 10
