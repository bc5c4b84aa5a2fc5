"""Whether a network can be made again from its description, found out before it is trained and not after."""

from __future__ import annotations

import torch
from torch import Tensor

from instar.config import ModelConfig
from instar.errors import RunError, shortened
from instar.models.copying import copy_network
from instar.models.normalised import Normalised
from instar.models.probe import answers
from instar.models.trained import restore_model
from instar.runs.documents import ModelFile
from instar.seeds import generator

NOISE = 0.1
"""Standard deviation of what is added to weights: layers that begin at 0 would hide what lies before them."""


def why_not_rebuilt(
    model: Normalised, config: ModelConfig, inputs: Tensor, input_shape: tuple[int, ...], classes: tuple[str, ...]
) -> str | None:
    """Return why a description does not make a model again, without a full stop; none where it does.

    What the description makes is given the same weights and asked about the same inputs in eval mode, once with the
    weights as they are and once with noise added to all of them. Logits must be equal.

    Args:
        model: on the CPU.
        config: the description.
        inputs: raw, `[n, ...]`.
        input_shape: of one input.
        classes: their names.
    """
    if config.name.startswith("__main__:"):
        return "no other process finds what is defined in __main__"
    try:
        described = ModelFile(
            name=config.name, arguments=config.arguments, input_shape=list(input_shape), classes=list(classes)
        )
        again = restore_model(model.state_dict(), described, "the student", trust=True)
        copied = copy_network(model)
        is_same = _equal(copied, again, inputs)
        if is_same:
            _add_noise(copied)
            _add_noise(again)
            is_same = _equal(copied, again, inputs)
    except RunError:
        return f"what '{shortened(config.name, 80)}' makes has other weights"
    except Exception as error:  # of code of the user's
        return shortened(error)
    return None if is_same else "with the same weights it gives other logits"


def _equal(model: Normalised, again: Normalised, inputs: Tensor) -> bool:
    return torch.equal(answers(model, inputs).nan_to_num(), answers(again, inputs).nan_to_num())


@torch.no_grad()
def _add_noise(model: Normalised) -> None:
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point():
            noise = torch.randn(parameter.shape, generator=generator(0, "noise", name))
            parameter.add_(NOISE * noise.to(parameter))
