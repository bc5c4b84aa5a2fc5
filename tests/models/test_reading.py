"""How a network reads its inputs, and where its logits are in its output."""

from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch import nn

from instar.errors import MismatchError
from instar.models import Normalised, logits_of, reader_of

PIXELS = torch.arange(256, dtype=torch.uint8).view(4, 1, 8, 8)
UNCHANGED = torch.zeros(1), torch.ones(1)


def test_statistics_of_0_and_1_read_pixels_to_the_last_bit_as_a_bare_module_does():
    bare = reader_of(nn.Identity())(PIXELS)
    assert torch.equal(bare, PIXELS.float() / 255)
    assert torch.equal(Normalised(nn.Identity(), *UNCHANGED)(PIXELS), bare)


def test_statistics_of_another_shape_are_loaded_and_used():
    theirs = Normalised(nn.Identity(), torch.full((1, 1, 1), 0.5), torch.full((1, 1, 1), 2.0))
    mine = Normalised(nn.Identity(), *UNCHANGED)
    mine.load_state_dict(theirs.state_dict())
    assert torch.equal(mine(PIXELS), theirs(PIXELS))


def test_a_module_with_attributes_mean_std_and_network_is_not_taken_for_normalised():
    impostor = nn.Identity()
    impostor.mean = impostor.std = impostor.network = None
    assert torch.equal(reader_of(impostor)(PIXELS), PIXELS.float() / 255)
    assert reader_of(Normalised(nn.Identity(), *UNCHANGED))(PIXELS) is PIXELS


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("statistics", [UNCHANGED, (torch.tensor(0.3), torch.tensor(0.5))])
def test_a_network_is_given_inputs_in_the_dtype_of_its_weights(dtype, statistics):
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).to(dtype)
    assert network(reader_of(network)(PIXELS)).dtype == dtype
    assert Normalised(network, *statistics)(PIXELS).dtype == dtype
    assert Normalised(network, *statistics)(PIXELS.float()).dtype == dtype


def test_a_network_that_changes_its_inputs_changes_a_copy():
    class InPlace(nn.Module):
        def forward(self, inputs):
            return inputs.mul_(0).flatten(1)

    floats = torch.rand(4, 2)
    before = floats.clone()
    Normalised(InPlace(), *UNCHANGED)(floats)
    assert torch.equal(floats, before)


@dataclass
class Output:
    loss: float
    logits: torch.Tensor


class Pair(NamedTuple):
    scores: torch.Tensor
    loss: torch.Tensor


LOGITS = torch.rand(4, 3)


@pytest.mark.parametrize(
    "output",
    [
        LOGITS,
        {"logits": LOGITS, "hidden": torch.rand(4, 8)},
        {"out": LOGITS, "loss": torch.tensor(0.5), "note": "words"},
        (LOGITS,),
        [LOGITS, torch.rand(1, 7)],
        Pair(LOGITS, torch.rand(4)),
        Output(0.5, LOGITS),
    ],
)
def test_the_logits_of_an_output_are_its_entry_logits_or_its_only_likely_tensor(output):
    class Odd(nn.Module):
        def forward(self, inputs):
            return output

    assert logits_of(output, 4) is LOGITS
    assert Normalised(Odd(), *UNCHANGED)(PIXELS) is LOGITS


@pytest.mark.parametrize(
    ("output", "found"),
    [((LOGITS, LOGITS), r"tuple with 0 \[4, 3\], 1 \[4, 3\]"), ({}, "dict with no tensor"), ("words", "str with no")],
)
def test_an_output_with_no_or_several_likely_tensors_is_refused_in_a_sentence(output, found):
    with pytest.raises(MismatchError, match=found):
        logits_of(output, 4)
