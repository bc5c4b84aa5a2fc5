"""A test, before training, of whether a network's description builds the network again."""

from __future__ import annotations

import torch

from instar.compute.inputs import Inputs, Shapes, as_lists
from instar.config import ModelConfig
from instar.errors import RunError, shortened
from instar.models.copying import copy_network
from instar.models.normalised import Normalised
from instar.models.probe import add_noise, compute_logits
from instar.models.trained import restore_model
from instar.runs.documents import ModelFile


def why_not_rebuilt(
    model: Normalised, config: ModelConfig, inputs: Inputs, input_shape: Shapes, classes: tuple[str, ...]
) -> str | None:
    """Return why a description does not build a model again, without a full stop; None if it does.

    The network that the description builds gets the same weights and predicts the same inputs in eval mode. Its logits
    must be equal, also when noise is added to all weights.

    Args:
        model: model on the CPU.
        config: description of the model.
        inputs: raw inputs, `[n, ...]`.
        input_shape: shape of one raw input, or of several by name.
        classes: class names.
    """
    if config.name.startswith("__main__:"):
        return "other processes cannot import what is defined in __main__"
    try:
        described = ModelFile(
            name=config.name,
            arguments=config.arguments,
            input_shape=as_lists(input_shape),
            classes=list(classes),
            reader=str(model.reader),
            knowledge=model.reader.knowledge(),
        )
        again = restore_model(model.state_dict(), described, "the student", trust=True)
        copied = copy_network(model)  # the noise must not reach the model that will be trained
        is_same = _equal(copied, again, inputs)
        if is_same:
            add_noise(copied)
            add_noise(again)
            is_same = _equal(copied, again, inputs)
    except RunError:
        return f"'{shortened(config.name, 80)}' builds a network with other weights"
    except Exception as error:  # raised by the user's code
        return shortened(error)
    return None if is_same else "with the same weights it computes other logits"


def _equal(model: Normalised, again: Normalised, inputs: Inputs) -> bool:
    # bit for bit, because the same operations run on the same processor; NaN in both is equal, too
    return torch.equal(compute_logits(model, inputs).nan_to_num(), compute_logits(again, inputs).nan_to_num())
