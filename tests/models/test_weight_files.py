"""Weights that are not those of the network are refused in a sentence, and the names of other programs are found."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from instar.errors import MismatchError
from instar.models.weight_files import load_weights

NETWORK = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
STATE = NETWORK.state_dict()


def write(folder: Path, content: Any) -> Path:
    torch.save(content, folder / "weights.pt")
    return folder / "weights.pt"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda value: value.to(torch.int8), r"whole numbers \(torch\.int8\), and that of the network floats"),
        (lambda value: value > 0, r"whole numbers \(torch\.bool\)"),
        (lambda value: value + 1j, r"complex numbers \(torch\.complex64\)"),
    ],
)
def test_weights_of_another_kind_of_number_are_not_rounded_into_place(change: Any, told: str, tmp_path: Path) -> None:
    file = write(tmp_path, {name: change(value) for name, value in STATE.items()})
    with pytest.raises(MismatchError, match=f"the weight '0.weight' in .* holds {told}"):
        load_weights(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), file)


def test_a_checkpoint_of_lightning_has_a_word_before_all_names(tmp_path: Path) -> None:
    state = {f"model.{name}": value for name, value in STATE.items()}
    others = {"optimizer": {0: {"step": 3}}, "pytorch-lightning_version": "2.5"}
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    load_weights(network, write(tmp_path, {"state_dict": state, **others}))
    assert torch.equal(network[0].weight, NETWORK[0].weight)


def test_names_that_are_numbers_are_no_traceback(tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match=r"are not those of Sequential: missing '0\.weight'"):
        load_weights(NETWORK, write(tmp_path, dict(enumerate(STATE.values()))))
