"""The formulas that accelerators compile equal the plain form; here they are compiled for the CPU."""

import pytest
import torch

from instar.compute.compiler import has_compiler, require_compiler
from instar.errors import ConfigError
from instar.targets import many_classes

# torch's compiler imports what torch has deprecated
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


@pytest.fixture(scope="module", autouse=True)
def compiler():
    try:
        require_compiler(torch.device("cpu"))
    except ConfigError as error:
        pytest.skip(f"there is no compiler: {error}")


def answers(kind, examples, classes, dtype):
    """Return a teacher's targets, as arguments of the cross-entropy of that kind."""
    p = torch.randn(examples, classes, dtype=dtype).mul_(2).softmax(1)
    top = p.topk(3)
    if kind == "dense":
        return many_classes.dense, (p,)
    if kind == "bucket":
        return many_classes.sparse, (top.indices, torch.cat([top.values, 1 - top.values.sum(1, keepdim=True)], 1))
    drawn = torch.randint(classes, (examples, 4))
    drawn[:, 1] = drawn[:, 0]  # a class that was drawn twice
    return many_classes.sparse, (drawn, torch.full((examples, 4), 0.25, dtype=dtype))


@pytest.mark.parametrize("kind", ["dense", "bucket", "drawn"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_values_and_gradients_are_those_of_the_plain_form(kind, dtype, monkeypatch):
    torch.manual_seed(0)
    for examples, classes, temperature in ((7, 11, 1.0), (5, 40, 4.0)):
        call, told = answers(kind, examples, classes, dtype)
        logits = 3 * torch.randn(examples, classes, dtype=dtype)
        logits[0, 0] = 200.0  # a student that is sure
        logits[1, -1] = -torch.inf  # a padding class
        if kind == "dense":
            told[0][1, -1] = 0.0
        found = []
        for is_compiled in (False, True):
            monkeypatch.setattr(many_classes, "is_compiled", lambda logits, is_compiled=is_compiled: is_compiled)
            z = logits.clone().requires_grad_()
            loss = call(z, *told, temperature)
            weights = torch.linspace(-1, 2, examples, dtype=dtype)
            gradients = [torch.autograd.grad(loss, z, weights, retain_graph=True)[0] for _ in range(2)]
            torch.testing.assert_close(*gradients)  # it may be asked for once more
            found.append((loss.detach(), gradients[0]))
        for plain, compiled in zip(*found, strict=True):
            known = plain.isfinite()
            torch.testing.assert_close(compiled[known], plain[known])
            assert torch.equal(compiled.isfinite(), known)


def test_without_an_accelerator_the_plain_form_is_taken():
    assert not many_classes.is_compiled(torch.zeros(2, 3))


def test_without_a_compiler_the_plain_form_is_taken(monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("Triton is not there")

    monkeypatch.setattr(torch, "compile", refuse)
    assert not many_classes.is_compiled(torch.zeros(2, 3, device="meta"))
    has_compiler.cache_clear()
