"""Logits that are computed later equal those of the network."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from instar.compute.precision import autocast, current_precision, use_matmul_library
from instar.models import Projected

CPU = torch.device("cpu")
INPUTS, LAYER = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0)), nn.Linear(5, 7)


class Libraries(TorchDispatchMode):
    """Records each product of two matrices, and the library that is in force."""

    def __init__(self):
        super().__init__()
        self.found, self.calls = set(), 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        if function.name() in ("aten::addmm", "aten::mm"):
            self.found.add(torch.get_float32_matmul_precision())
            self.calls += 1
        return function(*arguments, **(options or {}))


@pytest.mark.parametrize("bias", [LAYER.bias, None], ids=["bias", "no bias"])
def test_logits_are_those_of_the_layer(bias):
    projected = Projected(INPUTS, LAYER.weight, bias)
    expected = nn.functional.linear(INPUTS, LAYER.weight, bias)
    assert projected.num_classes == 7
    assert torch.equal(projected.logits(), expected)
    assert torch.equal(projected.rows(slice(1, 3)).logits(), expected[1:3])
    torch.testing.assert_close(projected.flat().rows(torch.tensor([7, 0])).logits(), expected.flatten(0, 1)[[7, 0]])


@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 3, 5)])
def test_logits_of_any_layout_are_one_product(shape):
    hidden = torch.randn(shape[::-1]).permute(*reversed(range(len(shape))))  # by position, as recurrent layers do
    with Libraries() as products:
        found = Projected(hidden, LAYER.weight, LAYER.bias).logits()
    assert products.calls == 1
    torch.testing.assert_close(found, nn.functional.linear(hidden, LAYER.weight, LAYER.bias))


@pytest.mark.parametrize("precision", ["float32", "float32-fast", "bfloat16"])
@pytest.mark.parametrize("later", ["float32", "bfloat16"])
def test_the_arithmetic_is_that_in_which_the_network_returned(precision, later):
    with use_matmul_library(precision), autocast(precision, CPU):
        projected, expected = Projected(INPUTS, LAYER.weight, LAYER.bias), LAYER(INPUTS)
        assert projected.precision == current_precision(CPU) == precision
    with use_matmul_library(later), autocast(later, CPU), Libraries() as libraries:
        for form in (projected, projected.cast(), projected.flat().cast().detach()):
            found = form.logits()
            assert found.dtype == expected.dtype == (torch.bfloat16 if precision == "bfloat16" else torch.float32)
            torch.testing.assert_close(found.view(expected.shape), expected, rtol=0, atol=0)
    assert libraries.found == {"highest" if precision == "float32" else "medium"}
    assert torch.get_float32_matmul_precision() == "highest"


def test_gradients_go_through_logits_and_not_through_what_was_detached():
    projected = Projected(INPUTS.clone().requires_grad_(), LAYER.weight, LAYER.bias)
    assert projected.rows(slice(1, 2)).flat().logits().requires_grad
    assert not projected.detach().logits().requires_grad
